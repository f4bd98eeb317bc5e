"""Uploads over HTTP: received, checked, kept, sent."""
