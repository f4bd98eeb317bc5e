"""The floor that all rooms share: request schema, settings, status words, ids, problems.

Imports nothing of Easel; every other room may import it.
"""
