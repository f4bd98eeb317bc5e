"""The errors that the store raises.

StoreError
  StoreUnavailableError   the database does not answer now: try again later
  NewerStoreError         a newer version of Easel has written the database
  NotFoundError           there is no such row
    DeletedError          there was one: it is deleted for good
    UploadExpiredError    the upload was removed, or its time was over: send it again
    FilesGoneError        a request takes files that were removed in this moment
  ConflictError           the row is not in a state that allows this
    FencedError           another worker took the attempt over, or it was deleted
    HeldError             another worker holds the attempt: wait until it is released
    UnreadableRequestError  another version stored the request: the generation has failed
    VersionConflictError    it has been changed since: read it again
    LeaseLostError        the lease is gone: what was claimed under it may have a new holder
  IdempotencyMismatchError  the key was used with another body
  ArtefactStoreError      the artefacts' storage failed
    NoSpaceError          there is no room for the artefact: free some, and it can be kept
    StorageAwayError      the object store (or share) does not answer now: try again later
"""

from __future__ import annotations

from collections.abc import Sequence


class StoreError(Exception):
    """Base of every error of the store."""


class StoreUnavailableError(StoreError):
    """The database does not answer now; nothing was written, so the caller may try again."""


class NewerStoreError(StoreError):
    """The database has migrations that this version does not know: nothing was written."""

    def __init__(self, current: str, newest: str) -> None:
        super().__init__(
            f"a newer version of Easel has written the database (migration {current}; this one "
            f"knows {newest} at most). Install that version again, or restore a backup of the data "
            "folder from before the update"
        )


class NotFoundError(StoreError):
    """There is no such row."""


class DeletedError(NotFoundError):
    """The generation was deleted, permanently."""


class UploadExpiredError(NotFoundError):
    """The upload was removed, or nothing had used it for long. The same bytes can be sent again."""

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"the upload {upload_id[:12]}… was removed, or it has expired")


class FilesGoneError(NotFoundError):
    """A request takes files (``references``) that are not there any more: nothing was accepted."""

    def __init__(self, references: Sequence[str]) -> None:
        self.references = tuple(references)
        super().__init__(f"these files are gone: {', '.join(self.references)}")


class ConflictError(StoreError):
    """The row is not in a state that allows this."""


class VersionConflictError(ConflictError):
    """It has been changed since it was read: read it again."""


class FencedError(ConflictError):
    """The attempt has another holder now (or is deleted): stop, and touch nothing more."""


class HeldError(ConflictError):
    """Another worker holds the attempt. If that one is dead, the reconciler soon releases it."""


class UnreadableRequestError(ConflictError):
    """This version cannot read the generation's request, so the generation has failed."""


class LeaseLostError(ConflictError):
    """The lease is gone or taken: what was claimed under it may be worked on by another process."""


class IdempotencyMismatchError(StoreError):
    """The idempotency key was used before, with another body."""


class ArtefactStoreError(StoreError):
    """The storage of artefacts refused or failed."""


class NoSpaceError(ArtefactStoreError):
    """The disk is full (or read-only): the picture can be kept once there is room."""


class StorageAwayError(ArtefactStoreError):
    """The object store, or the share of the folder, cannot be used now: the picture can wait."""


class InvalidCursorError(StoreError):
    """The cursor is not one that a page of this kind gave."""
