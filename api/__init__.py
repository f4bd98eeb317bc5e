"""The FastAPI facade: the HTTP contract, mapped to the store and to flow runs.

Never runs flow code, and calls ComfyUI only for its catalogue.
"""
