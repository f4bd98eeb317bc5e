"""``easel doctor`` and ``easel audit``: what is wrong, and what to do."""
