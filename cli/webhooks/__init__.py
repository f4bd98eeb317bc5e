"""``easel webhooks``: what an operator does about callbacks, and a receiver for trying them out."""
