"""Generations: acceptance, queries, and the one writer."""
