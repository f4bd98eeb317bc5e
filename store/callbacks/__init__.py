"""Callbacks as they are stored: receivers, the secret, and every event with its deliveries."""
