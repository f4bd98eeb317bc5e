"""The page of workflows: what there is, importing, editing."""
