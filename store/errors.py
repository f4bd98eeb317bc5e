"""What the store can refuse.

StoreError
  StoreUnavailableError   the database does not answer now: try again later
  NotFoundError           there is no such row
    DeletedError          there was one: it is deleted for good
  ConflictError           the row is not in a state that allows this
    FencedError           somebody else took the attempt over, or it was deleted
    HeldError             another worker does the attempt: wait until it is let go
    UnreadableRequestError  another version stored the request: the generation has failed
    LeaseLostError        the lease is gone: whatever was claimed under it may be another's now
  IdempotencyMismatchError  the key was used with another body
  ImageStoreError         the images' storage failed
    NoSpaceError          there is no room for the picture: free some, and it can be kept
"""

from __future__ import annotations


class StoreError(Exception):
    """The base of everything the store raises."""


class StoreUnavailableError(StoreError):
    """The database does not answer now; nothing was written, so the caller may try again."""


class NotFoundError(StoreError):
    """There is no such row."""


class DeletedError(NotFoundError):
    """The generation was deleted, which is for ever."""


class ConflictError(StoreError):
    """The row is not in a state that allows this."""


class FencedError(ConflictError):
    """The attempt belongs to somebody else now (or is deleted): stop, and touch nothing more."""


class HeldError(ConflictError):
    """Another worker does the attempt. When that one is dead, the reconciler soon lets it go."""


class UnreadableRequestError(ConflictError):
    """This version cannot read the generation's request, so the generation has failed."""


class LeaseLostError(ConflictError):
    """The lease is gone or another's: what was claimed under it may be worked on by another."""


class IdempotencyMismatchError(StoreError):
    """The idempotency key was used before, with another body."""


class ImageStoreError(StoreError):
    """The images' storage refused or failed."""


class NoSpaceError(ImageStoreError):
    """The disk is full (or read-only): the picture can be kept once there is room."""


class InvalidCursorError(StoreError):
    """The cursor is not one that a page of this kind gave."""
