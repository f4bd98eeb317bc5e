"""The page of model files."""
