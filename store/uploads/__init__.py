"""Uploads: their files, their rows, what refers to them, and when they expire."""
