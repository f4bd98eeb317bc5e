"""The web page: thin pages over the same functions that the API's routes call.

Pages hold no rules of their own; the API is complete without them.
"""
