"""Forms and the drafts that they are kept in."""
