"""Workflows as values: what a user picks, with typed inputs, outputs, and what it requires."""
