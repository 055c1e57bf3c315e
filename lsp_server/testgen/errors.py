"""What can be wrong with a request for tests."""

from __future__ import annotations

from famulus.engine.errors import FamulusError, InvalidRequest


class UnknownTarget(InvalidRequest):
    """The target names no code that can be tested."""


class NothingToWrite(FamulusError):
    """No test was found that is worth writing."""

    code, status = "nothing_to_write", 422


class CannotPlace(FamulusError):
    """Tests cannot be put where they belong without harm."""

    code, status = "cannot_place", 409
