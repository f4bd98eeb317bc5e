"""``easel bulk``: from a file of rows to files."""
