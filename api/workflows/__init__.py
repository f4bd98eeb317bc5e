"""Workflows: listed, described, exported, imported, changed, hidden."""
