"""Schedules: batches by the clock."""
