"""Generations: acceptance, queries, and the only writers."""
