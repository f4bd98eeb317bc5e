"""Prefect: the generate flow and its tasks, the worker type, dispatch, deployments, the server.

Knows store and comfy below it, and neither the API nor the CLI above.
"""
