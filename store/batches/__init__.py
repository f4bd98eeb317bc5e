"""Batches and their items: read, and changed by one writer."""
