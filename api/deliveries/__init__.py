"""Deliveries over HTTP: what was sent to callbacks, and how it went."""
