"""The FastAPI facade: the HTTP contract, mapped to the store and to flow runs.

Never runs flow code, and never speaks to ComfyUI but for its catalogue.
"""
