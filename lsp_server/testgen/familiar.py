"""Values that a person would write: those that fit a name or a type, and how odd others look."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Function
from famulus.lsp_server.testgen.special import literal

_WORDS = ("'apple'", "'banana'", "'cherry'", "'hello world'", "'Hello'")
_KINDS: dict[str, tuple[str, ...]] = {
    "int": ("2", "3", "5", "10", "1", "0"),
    "float": ("1.5", "2.5", "10.0", "0.5", "4.0"),
    "number": ("3", "2", "5", "0.5", "10"),
    "str": _WORDS,
    "bool": ("True", "False"),
    "bytes": ("b'hello'", "b'abc'"),
}
"""By the kind of :class:`.values.Values`."""
_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("full_name", ("'Ada Lovelace'", "'Grace Hopper'")),
    ("first_name name owner user username author person", ("'Ada'", "'Grace'", "'Linus'")),
    ("email mail", ("'ada@example.com'", "'grace@example.org'")),
    ("url uri link href", ("'https://example.com/a?b=c'", "'https://user:secret@example.com/a#b'", "'example.com/a'")),
    ("host hostname domain", ("'example.com'", "'localhost'")),
    ("path filename file file_name", ("'docs/readme.txt'", "'/usr/lib/a.tar.gz'", "'readme'")),
    ("title headline", ("'Hello, World!'", "'The Quick Brown Fox'", "'Tom & Jerry'")),
    ("text sentence line message content s string", ("'hello world'", "'Hello'", "'one, two'", "'one\\ntwo'")),
    ("key column col field", ("'a'", "'b'", "'c'")),
    ("separator sep delimiter", ("'-'", "', '", "'_'")),
    ("version", ("'1.2.3'", "'2.0'")),
    ("color colour", ("'red'", "'#ff0000'")),
    ("year", ("2024", "2023", "1900", "2000")),
    ("month", ("2", "1", "4", "12", "13")),
    ("day", ("15", "1", "31")),
    ("hour hours", ("12", "0", "23")),
    ("minute minutes second seconds", ("90", "30", "59", "3661", "0")),
    ("discount rate ratio vat tax", ("0.2", "0.5", "0.1", "1.5")),
    ("price amount cost balance net total", ("100", "10", "25", "0")),
    ("ip address", ("'192.168.0.1'", "'10.0.0.1'")),
)
"""By a parameter's name."""
_LISTS = {
    "int": ("[1, 2, 3]", "[3, 1, 2]", "[1, 2, 2, 3]", "[5]", "[1, 3, 5, 7]"),
    "number": ("[1, 2, 3]", "[3, 1, 2]", "[1, 2, 2, 3]", "[2.5]"),
    "float": ("[1.0, 2.0, 3.0]", "[4.0, 2.0, 6.0]", "[2.5]"),
    "str": ("['apple', 'banana', 'cherry']", "['b', 'a', 'c']", "['apple', 'fig', 'apple']", "['apple']"),
}


def plainer(text: str, name: str = "") -> Iterator[str]:
    """Natural expressions of the type of a literal, to stand in its place; texts also with words for their letters."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return
    if isinstance(value, str) and value:
        words = iter(re.findall(r"\w+", " ".join(_WORDS)) * 4)
        yield repr(re.sub(r"[^\W\d]+", lambda match: next(words, "a"), value))
        letters = iter("abcdefghijklmnopqrstuvwxyz" * 4)
        yield repr(re.sub(r"[^\W\d]+", lambda match: next(letters, "a"), value))
    kind = type(value).__name__
    if isinstance(value, list | set | tuple):
        kinds = {type(item).__name__ for item in value}
        kind = f"{kind}[{kinds.pop()}{', ...' if isinstance(value, tuple) else ''}]" if len(kinds) == 1 else ""
    elif isinstance(value, dict):
        kinds = {f"{type(key).__name__}, {type(item).__name__}" for key, item in value.items()}
        kind = f"dict[{kinds.pop()}]" if len(kinds) == 1 else ""
    yield from (other for other in (*of_name(name), *of_kind(kind)) if other != text and _alike(other, value))


def _alike(text: str, value: object) -> bool:
    return type(ast.literal_eval(text)) is type(value)


def of_name(name: str) -> tuple[str, ...]:
    """Values that fit a parameter's name, wherever it is."""
    plain = name.lower().strip("_")
    last = plain.rpartition("_")[2]
    for wanted in (plain, last):
        for words, values in _NAMES:
            if wanted in words.split():
                return values
    return ()


def of_kind(kind: str) -> tuple[str, ...]:
    """Values of a type, by the name that :class:`.values.Values` gives it."""
    if kind in _KINDS:
        return _KINDS[kind]
    if " | " in kind and not kind.startswith(("list", "dict", "set", "tuple")):
        return of_kind(kind.partition(" | ")[0])
    if match := re.fullmatch(r"(list|set|tuple|iterator)\[(.+?)(?:, \.\.\.)?\]", kind):
        outer, inner = match[1], match[2].partition(" | ")[0]
        lists = _LISTS.get(inner) or _nested(inner)
        if outer == "set":
            return tuple(dict.fromkeys("{" + text[1:-1] + "}" for text in lists if "2, 2" not in text))
        if outer == "iterator":
            return tuple(f"iter({text})" for text in lists)
        return lists if outer == "list" else tuple(f"({text[1:-1]})" for text in lists if "," in text)
    if match := re.fullmatch(r"tuple\[(.+)\]", kind):
        parts = [of_kind(part) for part in match[1].split(", ")]
        if all(parts):
            return tuple(f"({', '.join(part[n % len(part)] for part in parts)})" for n in range(3))
    if match := re.fullmatch(r"dict\[(\w+).*?, (.+)\]", kind):
        values = of_kind(match[2])
        if match[1] == "str" and values:
            pairs = [(values[n % len(values)], values[(n + 1) % len(values)]) for n in range(2)]
            return tuple(f"{{'a': {one}, 'b': {other}}}" for one, other in pairs)
    return ()


def _nested(inner: str) -> tuple[str, ...]:
    items = of_kind(inner)
    return (f"[{', '.join(items[:2])}]", f"[{items[0]}]") if items else ()


def fits(kind: str, text: str) -> bool:
    """Whether a literal may stand where values of ``kind`` are wanted."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    names = {"number": (int, float), "float": (int, float), "int": (int,), "str": (str,), "bytes": (bytes,)}
    kinds = [names.get(part) for part in kind.split(" | ")]
    return any(known is not None and isinstance(value, known) for known in kinds)


def quoted(docstring: str) -> list[str]:
    """Texts that a docstring shows in quotes or as literals, as expressions: ``'1h30m'``."""
    found: dict[str, None] = {}
    for match in re.finditer(r"(?<!\w)'([^'\n]{1,30})'(?!\w)|\"([^\"\n]{1,30})\"|``([^`\n]{1,30})``", docstring):
        text = match[1] or match[2] or match[3]
        if match[3] and re.fullmatch(r"[a-z_]+", text):
            continue  # the name of a parameter
        found[repr(text.encode().decode("unicode_escape") if "\\n" in text else text)] = None
    return list(found)


def oddity(call: Call, function: Function) -> float:
    """How much of a call a reader would wonder about; 0 for what a person might have written."""
    documented = frozenset(quoted(function.docstring))
    total = 3.0 * call.text.count("-0)") + 3.0 * call.text.count("-0,")
    names = argument_names(function, call)
    for place, text in enumerate(call.expressions):
        try:
            tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError):
            continue
        inside = bool(call.receiver) and place == 0
        if text in of_name(names[place]):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant):
                total += _odd(node.value, deep=inside or node is not tree, known=documented)
            elif isinstance(node, ast.Call) and "date" in ast.unparse(node.func) and node.args:
                total += _odd_year(node.args[0])
        if names[place] == "year":
            total += _odd_year(tree)
    return total


def argument_names(function: Function, call: Call) -> list[str]:
    """The parameter of each of :attr:`Call.expressions`; empty for the receiver."""
    own = [p.name for p in function.parameters if p.kind in ("position", "either")]
    own += [""] * (len(call.args) - len(own))
    return [*([""] if call.receiver else []), *own[: len(call.args)], *(name for name, _ in call.kwargs)]


def _odd_year(node: ast.expr) -> float:
    year = literal(ast.unparse(node))
    return 12.0 if isinstance(year, int) and year < 1600 else 0.0


def _odd(value: object, *, deep: bool, known: Collection[str]) -> float:
    if isinstance(value, bytes):
        return 1 + _odd(value.decode("latin-1"), deep=deep, known=known)
    if isinstance(value, str):
        if repr(value) in known or repr(value) in _COMMON:
            return 0.0
        if not value:
            return 6.0 if deep else 2.0
        return _odd_text(value) + (0.5 if len(value) == 1 or value.isdigit() else 2.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    if repr(value) in _ROUND:
        return 0.0
    digits = re.sub(r"\W|0+$", "", repr(value))
    return 1.0 + max(0.0, 3.0 * (len(digits) - 2)) + (3.0 if repr(value) == "-0.0" else 0.0)


def _odd_text(text: str) -> float:
    """Marks that do not belong together, capitals within words, and parts that come twice."""
    marks = re.findall(r"[^\w\s]", text)
    strange = sum(not c.isascii() or (not c.isprintable() and c != "\n") for c in text)
    flips = len(re.findall(r"[a-z][A-Z]|[A-Za-z]\d|\d[A-Za-z]", text))
    again = len(re.findall(r"(\w{3,})\W*\1", text))
    return 2.0 * len(set(marks)) + len(marks) + 4.0 * strange + 2.0 * flips + 6.0 * again


_ROUND = frozenset(
    ("0", "1", "2", "3", "4", "5", "10", "20", "50", "100", "1000", "-1", "0.5", "1.5", "2.5", "1.0", "2.0")
)
_COMMON = frozenset(value for _, values in _NAMES for value in values) | set(_WORDS)
