"""Model files: what is known of each, and what the owner says of it."""
