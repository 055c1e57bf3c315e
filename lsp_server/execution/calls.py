"""A call as text: what is called, and the expressions of its arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

How = Literal["call", "get", "with"]
Source = Literal["recorded", "test", "doctest", "call", "hint", "guess"]
SOURCES: tuple[Source, ...] = ("recorded", "test", "doctest", "call", "hint", "guess")
"""Where inputs come from, most trusted first."""


SPECIAL: Mapping[str, str] = {
    **{f"__{name}__": name + "({})" for name in ("len", "iter", "next", "bool", "abs", "int", "float", "reversed")},
    **{
        f"__{name}__": f"({{}} {sign} {{}})"
        for name, sign in (
            ("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("add", "+"),
            ("sub", "-"), ("mul", "*"), ("truediv", "/"), ("floordiv", "//"), ("mod", "%"), ("pow", "**"),
            ("and", "&"), ("or", "|"), ("xor", "^"), ("matmul", "@"), ("lshift", "<<"), ("rshift", ">>"),
        )
    },
    "__neg__": "(-{})",
    "__getitem__": "{}[{}]",
    "__setitem__": "{}[{}] = {}",
    "__contains__": "({1} in {0})",
    "__enter__": "{}",
}  # fmt: skip
"""How special methods are called, by their name."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of ``target``, a dotted name in its module.

    ``receiver``: expression of the object whose method (``how`` = ``call``) or property (``get``) it is, else empty.
    ``before``: statements that are run first and may use the receiver as ``self``; ``setting``: those that are run
    before anything is made, and may use ``tmp_path`` and ``monkeypatch`` as tests do. ``how`` = ``with``: the result
    is a context manager, which is entered; ``inside``: statements that are run there. ``source`` says where it comes
    from, ``doubt`` how far its arguments are from the likeliest types (0: they have them); both are no part of its
    identity.
    """

    target: str
    args: tuple[str, ...] = ()
    kwargs: tuple[tuple[str, str], ...] = ()
    receiver: str = ""
    before: tuple[str, ...] = ()
    how: How = "call"
    setting: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    source: Source = field(default="guess", compare=False)
    doubt: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        """As Python: ``clamp(5, 0, hi=5)``, ``Stack([1]).push(2)``."""
        own = self.target.rpartition(".")[2]
        if self.receiver and own in SPECIAL and not self.kwargs:
            places = SPECIAL[own]
            if places.count("{") == 1 + len(self.args):
                return places.format(self.receiver, *self.args)
        name = f"{self.receiver}.{own}" if self.receiver else self.target
        if self.how == "get":
            return name
        if own == "__call__" and self.receiver:
            name = self.receiver
        return f"{name}({', '.join((*self.args, *(f'{key}={value}' for key, value in self.kwargs)))})"

    @property
    def expressions(self) -> tuple[str, ...]:
        """Receiver and arguments."""
        own = (self.receiver,) if self.receiver else ()
        return (*own, *self.args, *(value for _, value in self.kwargs))

    def replaced(self, place: int, text: str) -> Call:
        """The same call with another expression at ``place`` of :attr:`expressions`."""
        values = list(self.expressions)
        values[place] = text
        own = 1 if self.receiver else 0
        args = tuple(values[own : own + len(self.args)])
        kwargs = tuple((key, v) for (key, _), v in zip(self.kwargs, values[own + len(self.args) :], strict=True))
        receiver = values[0] if own else ""
        return replace(self, args=args, kwargs=kwargs, receiver=receiver)

    def message(self) -> dict[str, Any]:
        """As the worker takes it."""
        return {
            "target": self.target,
            "how": self.how,
            "receiver": self.receiver,
            "before": list(self.before),
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
            **({"setting": list(self.setting)} if self.setting else {}),
            **({"inside": list(self.inside)} if self.inside else {}),
        }

    @property
    def script(self) -> str:
        """All its statements: two calls with one script are the same."""
        return "\n".join((*self.setting, *self.before, self.text, *self.inside))

    def names(self) -> frozenset[str]:
        """Names that its expressions read."""
        found: set[str] = set()
        for text in (*self.expressions, *self.before, *self.inside, *self.setting):
            found |= set(names_in(text))
        return frozenset(found - {"self"} - set(_bound(self.setting)) - ({"entered"} if self.inside else set()))

    @property
    def size(self) -> tuple[int, int, int]:
        """How much there is to read; smaller is better."""
        text = self.text
        complexity = sum(len(part) for part in text.split("(", 1)[-1] if part not in "01, ")
        return (len(self.args) + len(self.kwargs) + 3 * len(self.before) + len(self.setting), len(text), complexity)


def names_in(text: str) -> Iterator[str]:
    """Names that an expression reads and does not bind itself."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    nodes = list(ast.walk(tree))
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.Name) and node.id not in bound:
            yield node.id


def _bound(setting: tuple[str, ...]) -> Iterator[str]:
    """Names that a setting gives, with those of the fixtures that it uses."""
    if not setting:
        return
    yield from ("tmp_path", "monkeypatch")
    for node in ast.walk(ast.parse("\n".join(setting))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ClassDef):
            yield node.name


STANDARD: Mapping[str, str] = {
    **dict.fromkeys(("Decimal",), "decimal"),
    **dict.fromkeys(("Fraction",), "fractions"),
    **dict.fromkeys(("Path",), "pathlib"),
    **dict.fromkeys(("UUID",), "uuid"),
    **dict.fromkeys(("timedelta",), "datetime"),
    **dict.fromkeys(("inf", "nan"), "math"),
    **dict.fromkeys(("OrderedDict", "deque", "Counter", "defaultdict"), "collections"),
    **dict.fromkeys(("SimpleNamespace",), "types"),
    **dict.fromkeys(("StringIO", "BytesIO"), "io"),
}
"""Names that arguments may use in any module, and where they come from."""
MODULES = frozenset(
    ["collections", "datetime", "decimal", "fractions", "io", "itertools", "math", "pathlib", "random", "re", "types"]
) | {"uuid"}
"""Modules that arguments may use."""
