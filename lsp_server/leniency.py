"""What a client says of itself and nobody here understands is left out, instead of refusing the client.

Editors may be newer than the types of the protocol that we know: one more kind of tag in a list must not cost anybody
the whole server.
"""

from __future__ import annotations

import re
from typing import Any

import cattrs

Place = tuple[str | int, ...]
"""The names and numbers on the way to something in a message."""

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_INNER = re.compile(r"_(.)")


def leave_out(message: dict[str, Any], error: Exception) -> list[str]:
    """Takes out of ``message`` what ``error``, raised when it was structured, complains of. The places; none where it
    does not say them."""
    if not isinstance(error, cattrs.BaseValidationError):
        return []
    complaints = [complaint.rpartition(" @ $.")[2] for complaint in cattrs.transform_error(error)]
    wrong = {_known(message, _place(complaint)) for complaint in complaints}
    if min(map(len, wrong), default=0) < 2:
        return []  # nothing would be left
    # From the end, so that the numbers of what stands in a list stay right; parts go with their whole.
    places = [place for place in sorted(wrong, reverse=True) if not any(place[:n] in wrong for n in range(len(place)))]
    for *way, last in places:
        holder: Any = message
        for step in way:
            holder = holder[step]
        del holder[last]
    return [".".join(map(str, place)) for place in places]


def _place(complaint: str) -> Place:
    """With the names as the protocol writes them."""
    found = _STEP.findall(f".{complaint}")
    return tuple(int(number) if number else _INNER.sub(lambda m: m[1].upper(), name) for name, number in found)


def _known(message: dict[str, Any], place: Place) -> Place:
    """As much of ``place`` as there is: what lacks something is wrong itself."""
    value: Any = message
    for length, step in enumerate(place):
        there = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        if step not in there:
            return place[:length]
        value = value[step]
    return place
