"""``easel generate``: from a prompt to files."""
