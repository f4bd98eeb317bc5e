"""The page of workers, for operators."""
