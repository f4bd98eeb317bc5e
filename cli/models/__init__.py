"""``easel models``: the model files that there are, and what each is."""
