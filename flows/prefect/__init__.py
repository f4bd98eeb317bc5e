"""Prefect from outside: its server, flow runs, deployments, schedules, pauses."""
