"""Contracts with what Prefect does not promise: each name of it behaves as Easel needs it.

Prefect is pinned exactly. When one of these fails after an upgrade, read what changed there.
"""
