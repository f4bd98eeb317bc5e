"""Schedules: batches started at set times."""
