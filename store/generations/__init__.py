"""Generations: accepted, read, and changed by one writer."""
