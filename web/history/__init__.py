"""The history and the page of one generation."""
