"""One JSON object per line in ``engine.log``. Prompts never reach it.

An exception is written as its type and its stack, without its message: the message of an unexpected error may
quote what a user typed. Only our own :class:`FamulusError` speaks in its own words. Standard library only.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from types import TracebackType
from typing import TextIO

from famulus.engine.errors import FamulusError

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "color_message"}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time (UTC), level, logger, message, extra fields, error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _describe(record.exc_info[1], record.exc_info[2])
        return json.dumps(line, default=str)


def _describe(error: BaseException, trace: TracebackType | None) -> dict[str, object]:
    stack = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    words = str(error) if isinstance(error, FamulusError | OSError | ImportError) else ""
    return {"type": type(error).__name__, "message": words, "stack": stack}


def configure(stream: TextIO, level: int = logging.INFO) -> None:
    """Send all logging of this process to ``stream`` as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
