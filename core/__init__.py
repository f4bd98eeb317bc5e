"""The floor that all rooms share: requests, batches, settings, status words, problems.

Imports nothing of Easel; every other room may import it.
"""
