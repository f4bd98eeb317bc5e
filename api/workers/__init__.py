"""The workers, as operators see them."""
