"""Forms, and the drafts that store them."""
