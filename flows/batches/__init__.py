"""Batches: accepted, released item by item, kept in step with their flow runs."""
