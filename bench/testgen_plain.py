"""Whether a function can be called with values that a person writes down, by a look at its code alone.

It takes plain values where no parameter has an annotation of another package's machinery, and nothing is asked of a
parameter that texts, numbers, containers, dates and the like do not have. A method's class can be made of such values.
"""

from __future__ import annotations

import ast
import datetime
import decimal
import fractions
import pathlib
import uuid
from collections.abc import Iterator, Mapping, Sequence

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef

_KINDS = (
    str, bytes, bytearray, int, float, complex, list, dict, set, frozenset, tuple, range, slice, datetime.datetime,
    datetime.time, datetime.timedelta, decimal.Decimal, fractions.Fraction, pathlib.PurePath, uuid.UUID,
)  # fmt: skip
_HAVE = frozenset(name for kind in _KINDS for name in dir(kind)) | {"__name__", "__class__", "__next__"}
_TYPING = (
    "bool None object type date typing t te Any Union Optional List Dict Set FrozenSet Tuple Sequence MutableSequence "
    "Iterable Iterator Mapping MutableMapping Collection Container Callable Literal Text AnyStr AbstractSet Hashable "
    "Sized Type collections abc datetime decimal Path PathLike os Annotated SupportsInt SupportsFloat Number Real "
    "Final ClassVar Self T K V Generator deque"
)
_WORDS = {kind.__name__ for kind in _KINDS} | set(_TYPING.split())
"""What annotations of plain values are made of."""


def classes(body: Sequence[ast.stmt]) -> dict[str, ast.ClassDef]:
    """The classes at the top of a module."""
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def plain(node: AnyFunction, name: str, known: Mapping[str, ast.ClassDef]) -> bool:
    """Whether the function (a method where its dotted name has a class, one of ``known``) takes plain values."""
    owner, _, _ = name.rpartition(".")
    if owner and owner not in known:
        return False
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    static = "staticmethod" in decorators
    if not _takes_plain(node, known, skip=bool(owner) and not static):
        return False
    return not owner or static or _made_plain(known[owner], known)


def _made_plain(owner: ast.ClassDef, known: Mapping[str, ast.ClassDef], depth: int = 0) -> bool:
    """Whether an object of the class can be made of plain values."""
    for part in owner.body:
        if isinstance(part, AnyFunction) and part.name in ("__init__", "__new__"):
            return _takes_plain(part, known, skip=True)
    fields = [part.annotation for part in owner.body if isinstance(part, ast.AnnAssign)]
    if not all(_words(field) <= _WORDS for field in fields):
        return False
    bases = [ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in owner.bases]
    plainly = {
        "object",
        "NamedTuple",
        "Generic",
        "Enum",
        "IntEnum",
        "dict",
        "list",
        "str",
        "set",
        "Mapping",
        "Sequence",
    }
    return all(
        base in plainly or (base in known and depth < 4 and _made_plain(known[base], known, depth + 1))
        for base in bases
    )


def _takes_plain(node: AnyFunction, known: Mapping[str, ast.ClassDef], *, skip: bool) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args][1 if skip else 0 :] + node.args.kwonlyargs
    for argument in arguments:
        words = _words(argument.annotation)
        own = {word for word in words if word in known and _made_plain(known[word], {})}
        if not words <= _WORDS | own:
            return False
        if not own and not _asked(node, argument.arg) <= _HAVE:
            return False
    return True


def _words(annotation: ast.expr | None) -> set[str]:
    """Names in an annotation, also in one that is a text."""
    found: set[str] = set()
    for node in _annotation(annotation):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def _annotation(annotation: ast.expr | None) -> Iterator[ast.AST]:
    for node in ast.walk(annotation) if annotation else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                yield from ast.walk(ast.parse(node.value, mode="eval"))
            except SyntaxError:
                continue
        yield node


def _asked(function: AnyFunction, parameter: str) -> set[str]:
    """Attributes that the code takes of a parameter."""
    nodes = (node for part in function.body for node in ast.walk(part) if isinstance(node, ast.Attribute))
    return {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == parameter}
