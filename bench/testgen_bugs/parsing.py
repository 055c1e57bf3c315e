"""Small texts of fixed form."""

from __future__ import annotations

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def pairs(text: str) -> dict[str, str]:
    """``a=1; b=2`` as a dictionary; a value may have an equals sign in it."""
    found = {}
    for part in text.split(";"):
        name, sign, value = part.partition("=")
        if sign:
            found[name.strip()] = value.strip()
    return found


def size(text: str) -> int:
    """Bytes of ``10``, ``1.5k``, ``2 MB``."""
    text = text.lower().replace("b", "").strip()
    number = text.rstrip("kmg")
    return int(float(number) * _UNITS[text[len(number) :].strip()])


def version(text: str) -> tuple[int, ...]:
    """The numbers of ``1.10.0`` without zeros at the end, so that they can be compared."""
    numbers = [int(part) for part in text.lstrip("v").split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def truth(text: str) -> bool:
    """``yes``, ``true``, ``on`` and ``1``, in any case. Raises ValueError for what is neither true nor false."""
    word = text.strip().lower()
    if word in ("yes", "true", "on", "1"):
        return True
    if word in ("no", "false", "off", "0"):
        return False
    raise ValueError(f"neither true nor false: {text}")


def pages(text: str) -> list[int]:
    """The numbers of ``1-3, 7``."""
    found: list[int] = []
    for part in text.split(","):
        first, sign, last = part.strip().partition("-")
        found += range(int(first), int(last) + 1) if sign else [int(first)]
    return found


def cells(line: str) -> list[str]:
    """The cells of a line with commas; in quotes, a comma is text, and a quote is written twice."""
    found, cell, quoted = [], "", False
    for part in line.split('"'):
        if quoted:
            cell += part
        else:
            before, *others = part.split(",")
            if not part and cell and not line.endswith(cell + '"'):
                cell += '"'
            cell += before
            for other in others:
                found.append(cell)
                cell = other
        quoted = not quoted
    return [*found, cell]


def roman(text: str) -> int:
    """The value of a Roman number."""
    total, before = 0, 0
    for letter in reversed(text.upper()):
        value = _ROMAN[letter]
        total += -value if value < before else value
        before = max(before, value)
    return total


def without_comment(line: str) -> str:
    """A line up to a ``#`` that does not stand in double quotes."""
    quoted = False
    for place, sign in enumerate(line):
        if sign == '"':
            quoted = not quoted
        if sign == "#" and not quoted:
            return line[:place].rstrip()
    return line.rstrip()


def header(line: str) -> tuple[str, str]:
    """Name, in small letters, and value of ``Content-Type: text/html``. Raises ValueError without a colon."""
    name, sign, value = line.partition(":")
    if not sign:
        raise ValueError(f"no header: {line}")
    return name.strip().lower(), value.strip()


def command(line: str) -> tuple[str, list[str], dict[str, str]]:
    """The word, the arguments, and the options (``--name=value``, ``--name``) of a command line."""
    word, *rest = line.split()
    options = {}
    arguments = []
    for part in rest:
        if part.startswith("--"):
            name, sign, value = part[2:].partition("=")
            options[name] = value if sign else "yes"
        else:
            arguments.append(part)
    return word, arguments, options
