"""Batches: what a client asks for in bulk, read from a file and expanded into items."""
