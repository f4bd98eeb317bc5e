"""Callbacks: where a client wants to hear of an event, and of which events."""
