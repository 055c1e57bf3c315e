"""The engine's one exception family. Standard library only.

Every error a user can meet is a :class:`FamulusError`: one sentence that says what failed, on what, and
(``fix``) what to do about it. ``code`` is stable and travels over the wire; ``status`` is the HTTP status that
the server answers with.
"""

from __future__ import annotations

from typing import ClassVar


class FamulusError(Exception):
    """Base of all errors that reach a user. ``str(error)`` is one sentence, never a traceback."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class InvalidRequest(FamulusError):
    """A field has a wrong type, range, encoding or size."""

    code, status = "invalid_request", 400


class PromptTooLong(InvalidRequest):
    """The prompt does not fit the model's context; the message says by how many tokens."""

    code, status = "prompt_too_long", 400


class InvalidConstraint(InvalidRequest):
    """A JSON schema, regular expression or grammar that cannot be compiled."""

    code, status = "invalid_constraint", 400


class TooLarge(InvalidRequest):
    """A body beyond the limit."""

    code, status = "too_large", 413


class UnsupportedMedia(InvalidRequest):
    """A body that is not plain JSON."""

    code, status = "unsupported_media", 415


class Unauthorized(FamulusError):
    """Missing or wrong bearer token, or a foreign user on the socket."""

    code, status = "unauthorized", 401


class Forbidden(FamulusError):
    """Host or Origin that is not allowed."""

    code, status = "forbidden", 403


class PolicyRefused(FamulusError):
    """A file that the policy of this workspace lets nobody read: secrets, ignored, outside, no plain text."""

    code, status = "policy_refused", 403


class ModelNotFound(FamulusError):
    """No such model in the catalog, on disk, or served by this engine."""

    code, status = "model_not_found", 404


class BadWeights(FamulusError):
    """Weights, tokenizer or configuration that are corrupt, truncated or do not belong together."""

    code, status = "bad_weights", 500


class DownloadFailed(FamulusError):
    """A model could not be fetched; what was fetched so far is kept for resuming."""

    code, status = "download_failed", 502


class Overloaded(FamulusError):
    """The queue is full."""

    code, status = "overloaded", 503


class EngineUnavailable(FamulusError):
    """No engine answers, or its worker cannot be started."""

    code, status = "engine_unavailable", 503


class EngineRestarted(FamulusError):
    """The worker died or froze while this request ran; what was streamed so far is partial."""

    code, status = "engine_restarted", 503


class VersionMismatch(FamulusError):
    """Client and engine speak different protocol versions."""

    code, status = "version_mismatch", 409


class DeadlineExceeded(FamulusError):
    """The request's own deadline passed before it finished."""

    code, status = "deadline_exceeded", 504


class Cancelled(FamulusError):
    """The request was cancelled by its owner."""

    code, status = "cancelled", 499


class SlowConsumer(FamulusError):
    """A client that did not read its stream for too long."""

    code, status = "slow_consumer", 408


class StorageFailed(FamulusError):
    """No space, a read-only folder, or another failure of the file system."""

    code, status = "storage_failed", 507


class AddressInUse(FamulusError):
    """A port or socket that somebody else already serves."""

    code, status = "address_in_use", 500


def _family(base: type[FamulusError]) -> dict[str, type[FamulusError]]:
    found = {base.code: base}
    for sub in base.__subclasses__():
        found |= _family(sub)
    return found


def from_wire(code: str, message: str) -> FamulusError:
    """The typed error for a wire ``code``; an unknown code becomes a plain :class:`FamulusError`."""
    return _family(FamulusError).get(code, FamulusError)(message)
