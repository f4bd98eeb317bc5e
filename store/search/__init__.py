"""Full-text search of the history."""
