"""Batches and their items: queries, and the one writer."""
