"""Easel's own endpoint in Prefect's server: accounts of flow runs, written in one transaction.

It writes what Prefect's own requests would have written: the tables are Prefect's.
"""
