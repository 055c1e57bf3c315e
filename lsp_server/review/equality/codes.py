"""Whether two functions compile to the same instructions.

Compared are instructions with their constants (and the constants' types), names, flags, parameters, cells and exception
tables, and the same of all code inside. Left aside are line tables, caches and the padding between instructions: what
reads its own line numbers (``inspect``, ``warnings.warn`` with a stack level, tracebacks) may see a difference.

Local variables may have other names if nobody can see them: no parameter, no name that a string spells, and not in a
function that reads frames or evaluates text.
"""

from __future__ import annotations
import __future__

import ast
import dis
import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

from famulus.lsp_server.review.equality.canonical import Definition, Function, Source, constant, unnegated

_SEES_LOCALS = frozenset({
    "locals", "eval", "exec", "vars", "dir", "globals", "inspect", "_getframe", "currentframe", "stack", "trace",
    "getframeinfo", "getargvalues", "f_locals", "gi_frame", "cr_frame", "ag_frame", "f_back", "settrace",
    "setprofile", "set_trace", "breakpoint", "query", "evaluate", "__import__", "getclosurevars", "__closure__",
    "__code__", "co_varnames",
})  # fmt: skip
_WORD = re.compile(r"[^\W\d]\w*")
_PADDING = frozenset({"NOP", "EXTENDED_ARG", "CACHE"})
_WRITES_CELL = frozenset({"STORE_DEREF", "DELETE_DEREF"})


def code_of(side: Source, function: Function) -> CodeType | None:
    """The code of a function of a file; None if it cannot be compiled.

    It is compiled alone, inside of the classes and functions around it, and with each definition on one line of its
    own, since the compiler lays out code by its line ends.
    """
    alone: ast.stmt = function
    for above in reversed(side.around(function)):
        if isinstance(above, ast.ClassDef):
            alone = ast.ClassDef(above.name, [], [], [alone], [])
            ast.copy_location(alone, above)
        else:
            alone = above
    numbers = {node: n for n, node in enumerate((n for n in ast.walk(alone) if isinstance(n, Definition)), 1)}
    module = ast.Module([_renumbered(alone, 1, numbers)], [])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flags = _future(side.tree)
            whole = compile(module, "<file>", "exec", flags=flags, dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    wanted = (numbers.get(function), function.name)
    return next((code for code in _all(whole) if (code.co_firstlineno, code.co_name) == wanted), None)


def _future(tree: ast.Module) -> int:
    """The compiler's flags that a file turns on."""
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for name in statement.names:
                flags |= getattr(getattr(__future__, name.name, None), "compiler_flag", 0)
    return flags


def _renumbered(value: Any, line: int, numbers: Mapping[Definition, int]) -> Any:
    """A copy with all of a definition on the line of its number, and conditions without ``not``."""
    if isinstance(value, list):
        return [_renumbered(item, line, numbers) for item in value]
    if not isinstance(value, ast.AST):
        return value
    if isinstance(value, Definition):
        line = numbers.get(value, line)
    made: Any = type(value)()
    for name in value._fields:
        if (part := getattr(value, name, None)) is not None:
            setattr(made, name, _renumbered(part, line, numbers))
        elif hasattr(value, name):
            setattr(made, name, None)
    if value._attributes:
        made.lineno = made.end_lineno = line
        made.col_offset = made.end_col_offset = 0
    if isinstance(made, ast.IfExp):
        unnegated(made)
    return made


def _all(code: CodeType) -> Iterator[CodeType]:
    yield code
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _all(value)


def same_function(old: Function, new: Function, old_code: CodeType, new_code: CodeType) -> bool:
    """Whether two functions with the same header must behave the same."""
    same = _Pair(_Renaming(old_code, new_code)).same(old_code, new_code)
    return same and _unseen_by_code(old) == _unseen_by_code(new)


def _unseen_by_code(function: Function) -> list[str] | object:
    """What instructions do not show: annotations of locals, the order of set displays, code for ``-O``."""
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign):
            found.append(ast.dump(node.annotation) + ("" if node.simple else ast.dump(node.target)))
        elif isinstance(node, ast.Set):
            found.append(ast.dump(node))
        elif isinstance(node, ast.Name) and node.id == "__debug__":
            return object()
    return found


class _Renaming:
    """Which locals of a function may have another name on the other side."""

    def __init__(self, old: CodeType, new: CodeType) -> None:
        self._codes = (*_all(old), *_all(new))

    @cached_property
    def _closed(self) -> bool:
        return any(not _SEES_LOCALS.isdisjoint((*code.co_names, *code.co_freevars)) for code in self._codes)

    @cached_property
    def _spelled(self) -> set[str]:
        found: set[str] = set()
        for code in self._codes:
            loads = [item for item in dis.get_instructions(code) if item.opname not in _PADDING]
            for item, after in zip(loads, [*loads[1:], None], strict=True):
                keywords = item.opname == "KW_NAMES" or (after is not None and after.opname == "CALL_KW")
                if item.opcode in dis.hasconst and not keywords:
                    found.update(_words(item.argval))
        return found

    def allowed(self, old: str, new: str) -> bool:
        """Whether ``old`` may be called ``new``."""
        special = any(name.startswith((".", "__")) for name in (old, new))
        return not (self._closed or special or {old, new} & self._spelled)


def _words(value: object) -> Iterator[str]:
    """The names that a constant spells."""
    if isinstance(value, str):
        yield from _WORD.findall(value)
    elif isinstance(value, bytes):
        yield from _WORD.findall(value.decode("latin-1"))
    elif isinstance(value, tuple | frozenset):
        for item in value:
            yield from _words(item)


@dataclass
class _Pair:
    """Two codes under comparison, with the names that were seen to stand for each other."""

    renaming: _Renaming
    forward: dict[str, str] = field(default_factory=dict)
    backward: dict[str, str] = field(default_factory=dict)

    def same(self, old: CodeType, new: CodeType) -> bool:
        """Whether they are the same, with free variables as named around them."""
        if _head(old) != _head(new):
            return False
        fixed = [n for n in old.co_freevars if n not in self.forward]
        if not all(self._stands(name, name, fixed=True) for name in (*_parameters(old), *fixed)):
            return False
        left, right = _instructions(old), _instructions(new)
        if len(left) != len(right) or _guards(old) != _guards(new):
            return False
        return all(self._equal(a, b) for a, b in zip(left, right, strict=True)) and self._cells(old, new)

    def _equal(self, old: _Instruction, new: _Instruction) -> bool:
        if (old.name, old.plain) != (new.name, new.plain):
            return False
        if isinstance(old.value, CodeType) and isinstance(new.value, CodeType):
            return self._inside(old.value, new.value)
        if old.variables or new.variables:
            return len(old.variables) == len(new.variables) and all(
                self._stands(a, b) for a, b in zip(old.variables, new.variables, strict=True)
            )
        return constant(old.value) == constant(new.value)

    def _inside(self, old: CodeType, new: CodeType) -> bool:
        """Code inside sees the cells around it by our names and has its own locals."""
        shared = [(n, self.forward[n]) for n in old.co_freevars if n in self.forward]
        if any(self.backward.get(n) is None for n in new.co_freevars):
            return False
        if any(a != b for a, b in shared) and any(i.opname in _WRITES_CELL for c in _all(old) for i in dis.Bytecode(c)):
            return False
        inner = _Pair(self.renaming, dict(shared), {b: a for a, b in shared})
        return inner.same(old, new)

    def _stands(self, old: str, new: str, *, fixed: bool = False) -> bool:
        """Whether the two names may stand for each other, and always did."""
        if old not in self.forward and new not in self.backward:
            if old != new and (fixed or not self.renaming.allowed(old, new)):
                return False
            self.forward[old], self.backward[new] = new, old
        return self.forward.get(old) == new and self.backward.get(new) == old

    def _cells(self, old: CodeType, new: CodeType) -> bool:
        return [self.forward.get(n, n) for n in old.co_freevars] == list(new.co_freevars) and {
            self.forward.get(n, n) for n in old.co_cellvars
        } == set(new.co_cellvars)


def _parameters(code: CodeType) -> tuple[str, ...]:
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_varnames[:count]


def _head(code: CodeType) -> tuple[object, ...]:
    return (
        *(code.co_name, code.co_qualname, code.co_flags, code.co_argcount, code.co_posonlyargcount),
        *(code.co_kwonlyargcount, _parameters(code), len(code.co_freevars), len(code.co_cellvars)),
    )


@dataclass(frozen=True, slots=True)
class _Instruction:
    """``plain``: what must be equal as it is; ``variables``: names that may differ; ``value``: a constant."""

    name: str
    plain: object
    variables: tuple[str, ...] = ()
    value: object = None


_JUMPS = frozenset((*dis.hasjrel, *dis.hasjabs))
_LOCALS = frozenset((*dis.haslocal, *dis.hasfree))


def _instructions(code: CodeType) -> list[_Instruction]:
    raw = list(dis.get_instructions(code))
    index = _index(raw)
    found = []
    for item in raw:
        if item.opname in _PADDING:
            continue
        if item.opcode in _JUMPS:
            found.append(_Instruction(item.opname, index[item.argval]))
        elif item.opcode in _LOCALS:
            names = item.argval if isinstance(item.argval, tuple) else (item.argval,)
            found.append(_Instruction(item.opname, None, tuple(map(str, names))))
        elif item.opcode in dis.hasconst:  # `dis` of Python 3.11 does not know the value where it is names of keywords
            found.append(_Instruction(item.opname, None, value=code.co_consts[item.arg or 0]))
        elif item.opcode in dis.hasname:
            found.append(_Instruction(item.opname, (item.argval, item.argrepr)))
        else:
            found.append(_Instruction(item.opname, item.arg))
    return found


def _index(raw: list[dis.Instruction]) -> dict[int, int]:
    """The position of the next true instruction, by offset."""
    found, position = {}, 0
    for item in raw:
        found[item.offset] = position
        position += item.opname not in _PADDING
    return found


def _guards(code: CodeType) -> list[tuple[int, int, int, int, bool]]:
    """The exception table in positions of true instructions."""
    index = _index(list(dis.get_instructions(code)))
    end = max(index.values(), default=0) + 1
    entries = getattr(dis.Bytecode(code), "exception_entries", ()) or ()
    return [
        (index.get(e.start, end), index.get(e.end, end), index.get(e.target, end), e.depth, e.lasti) for e in entries
    ]
