"""Bulk: the form of a batch, the list, the page of one batch."""
