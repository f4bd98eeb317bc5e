"""``easel workflows``: what there is, what each takes, and its file."""
