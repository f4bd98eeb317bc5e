"""From a request's values and its recipe to ComfyUI's graph; pure: the same gives the same."""
