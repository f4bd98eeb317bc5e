"""Attempts at generations, each one coroutine from its claim to its kept outputs."""
