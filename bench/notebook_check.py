"""Watches one cell: what it bound, showed, printed, drew and wrote; then judges it and what had to stay intact.

Runs inside the kernel that is measured, beside the user's namespace and without a name in it. A check sees the
user's names, ``old`` (copies from before the cell) and these helpers:

- ``answer(expected, ...)``: some new or changed name, shown value or printed text is the expected number, text,
  list (a set: in any order), dict (a relation of keys to values) or dataframe;
- ``answer_is(value, expected, ...)``: this value is;
- ``said(*words)``: a short text that was printed or shown has one of the words;
- ``same(a, b)``, ``extends(new, old)``, ``text(path)``, ``csv(path)``, and what notebook_figures.py has.
"""

from __future__ import annotations

import ast
import builtins
import copy
import hashlib
import re
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from famulus.bench.notebook_figures import Drawn
from famulus.bench.notebook_frames import extends, identical, is_frame
from famulus.bench.notebook_same import in_text, is_mapping, is_scalar_answer, is_sequence, same

OWN_FILES = (".famulus", ".ipynb_checkpoints", "__pycache__")
"""What a kernel or a front end may keep beside a notebook."""


USUAL = {"pd": "pandas", "np": "numpy"}
"""Libraries that a check may use under these names once the user's code has loaded them."""

LONG = 20
"""Characters of a value that one recognises when it is printed as it was."""

FEW = 6
"""Who prints more things than these gives a list, not an answer in one of them."""


class Watch:
    """One cell in one namespace, from just before it runs."""

    def __init__(self, namespace: dict[str, Any], hidden: frozenset[str] = frozenset()) -> None:
        self._namespace = namespace
        self._hidden = hidden
        self._live = dict(self._user_names())
        self._old = {name: _copy(value) for name, value in self._live.items()}
        self._files = _files()
        self.shown: list[object] = []
        self.printed: list[object] = []
        self._print = builtins.print
        builtins.print = self._record

    def _record(self, *values: object, **options: Any) -> None:
        if options.get("file") is None:
            self.printed.extend(values)
        self._print(*values, **options)

    def stop(self) -> None:
        """The cell is over."""
        builtins.print = self._print

    def _user_names(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self._namespace.items()
            if not name.startswith("_") and name not in self._hidden and not isinstance(value, types.ModuleType)
        }

    def violations(self, changes: list[str], writes: list[str]) -> list[str]:
        """What is not as it was, though nobody asked: names and files."""
        found = []
        now = self._user_names()
        for name, value in self._old.items():
            if name not in changes and name not in now:
                found.append(f"{name} is gone")
            elif name not in changes and not identical(now[name], value):
                found.append(f"{name} changed")
        files = _files()
        for path in sorted(files.keys() | self._files.keys()):
            if files.get(path) != self._files.get(path) and path not in writes:
                found.append(f"file {path} {'changed' if path in self._files else 'is new'}")
        return found

    def altered(self, names: list[str]) -> bool:
        """Whether any of these names differs."""
        now = self._user_names()
        return any(not (name in now and identical(now[name], self._old[name])) for name in names if name in self._old)

    def judge(self, check: str) -> str:
        """Empty if the cell did what was asked, else why not."""
        now = self._user_names()
        changed = [v for n, v in now.items() if n not in self._old or not identical(v, self._old[n])]
        results = Results(changed, self.shown, self.printed, list(self._old.values()), list(now.values()))
        drawn = [*self.shown, *(value for name, value in now.items() if value is not self._live.get(name))]
        helpers: dict[str, Callable[..., object]] = {**Drawn(drawn).helpers(), **results.helpers()}
        given = {name: sys.modules[library] for name, library in USUAL.items() if library in sys.modules}
        scope = {"Path": Path, **given, **now, "old": types.SimpleNamespace(**self._old)}
        try:
            passed = _verdict(check, scope, helpers)
        except Exception as error:  # the user's code may have left anything under the names that a check reads
            return f"{type(error).__name__}: {error}"
        return "" if passed else "the check says no"


class Results:
    """What a cell gave its reader."""

    def __init__(
        self, bound: list[object], shown: list[object], printed: list[object], old: list[object], now: list[object]
    ) -> None:
        single = printed if len(printed) <= FEW else []
        self._texts = [value for value in (*single, *shown) if isinstance(value, str)]
        self._texts += ["\n".join(map(str, printed)), " ".join(map(str, printed))]
        self._values = [*bound, *shown, *(value for value in single if not isinstance(value, str))]
        if len(printed) > 1:
            self._values.append(list(printed))
        texts = [str(value) for value in old if hasattr(value, "__len__")]
        self._old = [text for text in texts if len(text) > LONG]
        frames = [value for value in (*old, *now, *self._values) if type(value).__name__ == "DataFrame"]
        self._headers = [[str(name) for name in frame.columns] for frame in frames]  # type: ignore[attr-defined]

    def helpers(self) -> dict[str, Callable[..., object]]:
        """What a check may call."""
        return {
            "answer": self.answer,
            "answer_is": self.answer_is,
            "said": self.said,
            "same": same,
            "extends": extends,
            "text": lambda path: Path(path).read_text(encoding="utf-8"),
            "csv": _csv,
        }

    def answer(self, expected: object, **how: Any) -> bool:
        """Whether any result is what was expected. Data shown as it was before holds no single thing."""
        values, texts = self._values, self._texts
        if isinstance(expected, str) or not hasattr(expected, "__iter__"):
            values = [value for value in values if not self._shows_old(str(value))]
            texts = [text for text in texts if text == expected or not self._shows_old(text)]
        return any(self.answer_is(value, expected, **how) for value in values) or any(
            self._text_is(text, expected) for text in texts
        )

    def _shows_old(self, text: str) -> bool:
        return any(old in text for old in self._old)

    def answer_is(self, value: object, expected: object, **how: Any) -> bool:
        """Whether this value is what was expected."""
        if type(expected).__name__ == "DataFrame":
            return is_frame(value, expected, **how)
        if isinstance(expected, str):
            return value == expected if isinstance(value, str) else is_scalar_answer(value, expected, self._headers)
        if isinstance(expected, Mapping):
            return is_mapping(value, expected) and not isinstance(value, str)
        if hasattr(expected, "__iter__"):
            ordered = how.get("ordered", not isinstance(expected, (set, frozenset)))
            return not isinstance(value, str) and is_sequence(value, expected, ordered)
        return is_scalar_answer(value, expected, self._headers)

    def _text_is(self, text: str, expected: Any) -> bool:
        if type(expected).__name__ == "DataFrame":
            return False
        if isinstance(expected, Mapping):
            return is_mapping(text, expected)
        if hasattr(expected, "__iter__") and not isinstance(expected, str):
            return is_sequence(text, expected, not isinstance(expected, (set, frozenset)))
        return text == expected or in_text(text, expected)

    def said(self, *words: str) -> bool:
        """Whether a short text has one of the words."""
        texts = [*self._texts, *(str(value) for value in self._values if not hasattr(value, "__len__"))]
        texts = [text for text in texts if not self._shows_old(text)]
        return any(
            len(text.split()) <= 30 and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
            for text in texts
            for word in words
        )


def _verdict(check: str, scope: dict[str, Any], helpers: Mapping[str, Callable[..., object]]) -> bool:
    """The value of the last line. What is called is a helper or a builtin even if the user's code took the name."""

    class Calls(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            if isinstance(node.func, ast.Name) and (node.func.id in helpers or hasattr(builtins, node.func.id)):
                scope[f"__{node.func.id}"] = helpers.get(node.func.id) or getattr(builtins, node.func.id)
                node.func.id = f"__{node.func.id}"
            return node

    tree = Calls().visit(ast.parse(check.strip()))
    last = tree.body.pop()
    exec(compile(tree, "<check>", "exec"), scope)
    return bool(eval(compile(ast.Expression(last.value), "<check>", "eval"), scope))


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # open files and the like stay what they are
        return value


def _csv(path: str) -> Any:
    frame = sys.modules["pandas"].read_csv(path)
    return frame[[name for name in frame.columns if not str(name).startswith("Unnamed")]]


def _files() -> dict[str, str]:
    """Of everything in the current folder: a digest of the content, or nothing for a folder."""
    found = {}
    for path in Path().rglob("*"):
        if not any(part in OWN_FILES for part in path.parts):
            found[path.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found
