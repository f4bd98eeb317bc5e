"""The studio: describe, generate, watch."""
