"""Webhooks: signed events, sent to receivers that clients name, and nowhere inside."""
