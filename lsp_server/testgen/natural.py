"""Inputs that a person would write: values that fit a parameter's name and type, and how odd others look."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from famulus.lsp_server.execution.calls import Call, How
from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.functions import Function, Parameter, functions
from famulus.lsp_server.execution.shapes import Shapes
from famulus.lsp_server.testgen.special import BOUNDS, literal

_WORDS = ("'apple'", "'banana'", "'cherry'", "'hello world'", "'Hello'")
_KINDS: dict[str, tuple[str, ...]] = {
    "int": ("3", "1", "2", "5", "10", "0"),
    "float": ("2.5", "1.5", "10.0", "0.5", "4.0"),
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
    ("key", ("'a'", "'b'", "'c'")),
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
_EDGES: dict[type, tuple[str, ...]] = {
    int: ("0", "-1"), float: ("0", "-1.5"), str: ("''",), list: ("[]",), dict: ("{}",),
}  # fmt: skip
_MOST = 40
_STEPS = 5


class Natural:
    """Natural calls of one function of the module with this source."""

    def __init__(self, source: str, function: Function, constructors: Constructors) -> None:
        self._function, self._constructors = function, constructors
        holder = function.name.rpartition(".")[0]
        self._siblings = [f for f in functions(source).values() if holder and f.name.rpartition(".")[0] == holder]
        self._shapes: dict[Function, Shapes] = {}
        self._quoted = quoted(function.docstring)

    def calls(self) -> list[Call]:
        """Calls with arguments that a person would choose, and short sequences of calls."""
        return list(dict.fromkeys([*self._plain(), *self._sequences()]))[:_MOST]

    def _plain(self) -> Iterator[Call]:
        function = self._function
        for number in range(_STEPS):
            receiver = self._receiver(number)
            if receiver is not None:
                yield from self._with(function, receiver, (), number)

    def _with(self, function: Function, receiver: str, before: tuple[str, ...], number: int) -> Iterator[Call]:
        """The function with what it must get, and with each of its options."""
        target = function.name
        if function.node.name == "__init__":
            target, receiver = function.name.rpartition(".")[0], ""
        how: How = "get" if function.how == "property" else "call"
        needed = [p for p in function.parameters if p.required]
        later = 1 if receiver not in ("", "self") else 0  # an object and its argument are not equal
        given = [self._value(function, p, number, place, later=later) for place, p in enumerate(needed)]
        given = _related(needed, given, number)
        if not all(given):
            return
        args = tuple(g for g, p in zip(given, needed, strict=True) if p.kind != "keyword")
        kwargs = tuple((p.name, g) for g, p in zip(given, needed, strict=True) if p.kind == "keyword")
        call = Call(target, args, kwargs, receiver, before, how=how, source="hint")
        yield call
        for place, parameter in enumerate(function.parameters):
            if parameter.required or parameter.kind in ("star", "stars", "position"):
                continue
            value = self._value(function, parameter, number, place)
            if value and number < 3:
                yield replace(call, kwargs=(*call.kwargs, (parameter.name, value)))
            if isinstance(literal(value), int | float) and not number:
                yield replace(call, kwargs=(*call.kwargs, (parameter.name, "-1")))
        if number == 0 and not before:
            yield from self._edges(call)

    def _edges(self, call: Call) -> Iterator[Call]:
        """The call with one argument at the edge of its type, and the others natural."""
        for place in range(bool(call.receiver), len(call.expressions)):
            value = literal(call.expressions[place])
            for edge in _EDGES.get(type(value), ()):
                yield call.replaced(place, edge)

    def _receiver(self, number: int) -> str | None:
        """The object whose method it is, empty if it is none's; None if it cannot be made."""
        function = self._function
        if function.owner is None or function.how not in ("method", "property") or function.node.name == "__init__":
            return ""
        made = self._object(function.owner.name, number)
        return made.replace(function.owner.name, function.name.rpartition(".")[0], 1) or None

    def _object(self, name: str, number: int, depth: int = 0) -> str:
        """An expression that makes an object of a class of the module; empty where that is not known."""
        node = self._constructors.classes.get(name)
        if node is None or depth > 2 or self._constructors(name) is None:
            return ""
        made_by, parameters = self._constructors.parameters(node)
        given = []
        for place, parameter in enumerate(parameters):
            if parameter.required:
                value = self._value(made_by, parameter, number, place, depth + 1)
                if not value:
                    return ""
                given.append(f"{parameter.name}={value}" if parameter.kind == "keyword" else value)
        return f"{name}({', '.join(given)})"

    def _value(
        self, function: Function, parameter: Parameter, number: int, place: int, depth: int = 0, later: int = 0
    ) -> str:
        """An argument; ``number``: which one of those that fit; of objects the one ``later``."""
        if function not in self._shapes:
            self._shapes[function] = Shapes(function, self._constructors.words, self._constructors)
        shapes = self._shapes[function]
        kinds = [option.kind for option in shapes.options(parameter)[:1]]
        kind = kinds[0] if kinds else ""
        if kind in self._constructors.classes:
            return self._object(kind, number + place + later, depth + 1)
        fitting = [value for value in self._quoted if fits(kind, value)] if kind.startswith("str") else []
        named = [value for value in of_name(parameter.name) if fits(kind, value)]
        pool = [*fitting, *named] or list(of_kind(kind))
        return pool[(number + (0 if fitting or named else place)) % len(pool)] if pool else ""

    def _sequences(self) -> Iterator[Call]:
        """Other methods of its object are called first, with the same arguments where they have the same names."""
        function = self._function
        receiver = self._receiver(0)
        if not receiver:
            return
        for other in self._siblings:
            own = other.node.name
            if own.startswith("_") or own == function.node.name or other.how != "method" or not _changes(other):
                continue
            made = [next(self._with(other, "self", (), number), None) for number in range(3)]
            steps = [f"self.{Call(own, c.args, c.kwargs).text}" for c in made if c is not None]
            if not steps or not made[0] or not (made[0].args or made[0].kwargs):
                continue
            for count in range(1, len(steps) + 1):
                yield from self._with(function, receiver, tuple(steps[:count]), 0)


def _changes(method: Function) -> bool:
    """Whether a method seems to change its object: it stores in an attribute, or calls a method of one."""
    for node in ast.walk(method.node):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                return True
            case ast.Subscript(value=ast.Attribute(value=ast.Name(id="self")), ctx=ast.Store()):
                return True
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"))))):
                return True
    return False


def _related(parameters: Sequence[Parameter], given: Sequence[str], number: int) -> list[str]:
    """The arguments, of which one that follows a list and has the type of its items is one of them, or none."""
    found = list(given)
    for place in range(1, len(found)):
        many, bound = literal(found[place - 1]), parameters[place].name in BOUNDS
        if isinstance(many, list) and many and not bound and not isinstance(literal(found[place]), list | dict):
            absent = ("'fig'" if "fig" not in many else "'kiwi'") if isinstance(many[0], str) else "4"
            chosen = (many[len(many) // 2], many[0], None, many[-1])[number % 4]
            found[place] = absent if chosen is None else repr(chosen)
    return found


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
        if match[3] and re.fullmatch(r"\w+", text):
            continue  # the name of a parameter
        found[repr(text.encode().decode("unicode_escape") if "\\n" in text else text)] = None
    return list(found)


def oddity(call: Call, function: Function) -> float:
    """How much of a call a reader would wonder about; 0 for what a person might have written."""
    documented = frozenset(quoted(function.docstring))
    total = 0.0
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
    return 12.0 if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value < 1600 else 0.0


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
