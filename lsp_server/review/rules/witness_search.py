"""Looks for a witness of one changed function: calls of it, or of functions that come to it."""

from __future__ import annotations

import ast
import contextlib
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.constructors import Constructors
from famulus.lsp_server.execution.errors import ImportFailed
from famulus.lsp_server.execution.inputs import Inputs, names_used, vocabulary
from famulus.lsp_server.execution.mining import Mine, top_names
from famulus.lsp_server.execution.relevance import reshaped
from famulus.lsp_server.execution.search import Found, Search, Subject, Within
from famulus.lsp_server.execution.upstream import Upstream
from famulus.lsp_server.review.change import decoded

if TYPE_CHECKING:
    from famulus.lsp_server.execution.calls import Call
    from famulus.lsp_server.execution.functions import Function
    from famulus.lsp_server.execution.pair import Pair
    from famulus.lsp_server.review.change import Change
    from famulus.lsp_server.review.rules.witness_changes import Changed

CANDIDATES = 8
"""Functions that may come to the changed one, and are tried."""


class Looking:
    """For several pairs at the same time. ``reading``: held while the project is read, and what was read is kept."""

    def __init__(self, change: Change, pairs: Sequence[Pair], mine: Mine, reading: threading.Lock) -> None:
        self.change, self.mine, self.reading = change, mine, reading
        self.old_layout, self.new_layout = pairs[0].old_layout, pairs[0].new_layout
        self._searches = {id(pair): Search(pair, self.source) for pair in pairs}
        self._upstream = Upstream(change.old)
        self._texts: dict[str, str | None] = {}
        self.around: dict[int, list[str]] = {}
        """Files of the functions that were looked at in stead of another one, by its identity."""

    def directly(self, pair: Pair, item: Changed, found: Sequence[Call], seconds: float) -> Found:
        """Calls of the function itself. ``found``: those that the project makes. Raises :class:`ImportFailed`."""
        old_path, new_path = item.file.old_path or "", item.file.new_path or ""
        modules = self._modules(old_path, new_path)
        if modules is None:
            return Found()
        search = self._searches[id(pair)]
        search.open(*modules)
        words = vocabulary(item.old.node, item.new.node, known=pair.old.samples(modules[0], names_used(item.old)))
        constructors = Constructors(old_path, item.file.old_text, words, self._found)
        inputs = Inputs(item.old, constructors, words, parameters=item.parameters, found=found, stirring=True)
        if not inputs.possible:
            return Found()
        subject = Subject(*modules, item.old, item.new, old_path, tuple(constructors.imports), None, item.file.new_text)
        return search.witness(subject, inputs, seconds=seconds)

    def through(self, pair: Pair, item: Changed, seconds: float) -> Found | None:
        """Calls of functions that come to it, and answer differently because of it; None if none is found."""
        old_path = item.file.old_path or ""
        until = time.monotonic() + seconds
        with self.reading:
            target = self.old_layout.module(old_path)
            candidates = self._upstream.of(old_path, item.old)[:CANDIDATES]
        self.around[id(item)] = [candidate.path for candidate in candidates]
        if target is None:
            return None
        others = reshaped(item.old, item.new)
        within = Within(target[0], item.name, item.old.lines, item.file.new_text, others)
        search = self._searches[id(pair)]
        for candidate in candidates:
            left = until - time.monotonic()
            if left <= 0:
                break
            with contextlib.suppress(ImportFailed):
                made = self._around(pair, item, candidate.path, candidate.function, within)
                if made is None or not search.comes_there(*made, until):
                    continue
                result = search.witness(*made, seconds=max(0.0, until - time.monotonic()))
                if result.witnesses:
                    return result
        return None

    def _around(
        self, pair: Pair, item: Changed, path: str, function: Function, within: Within
    ) -> tuple[Subject, Inputs] | None:
        """A function that may come to the changed one, and what it is called with: constants of both are drawn."""
        modules, text = self._modules(path, path), self.source(path)
        if modules is None or text is None:
            return None
        self._searches[id(pair)].open(*modules)
        with self.reading:
            calls = self.mine.of(function, path, top_names(text)).calls
        known = pair.old.samples(modules[0], names_used(function))
        known += pair.old.samples(within.module, [*names_used(item.old), *_tables(item.file.old_tree)])
        words = vocabulary(item.old.node, item.new.node, function.node, known=known)
        constructors = Constructors(path, text, words, self._found)
        inputs = Inputs(function, constructors, words, found=calls)
        if not inputs.possible:
            return None
        return Subject(*modules, function, function, path, tuple(constructors.imports), within), inputs

    def _modules(self, old_path: str, new_path: str) -> tuple[str, str] | None:
        """Names of a module in both versions."""
        with self.reading:
            old, new = self.old_layout.module(old_path), self.new_layout.module(new_path)
        return None if old is None or new is None else (old[0], new[0])

    def source(self, path: str) -> str | None:
        """The old version's text of a file."""
        if path not in self._texts:
            content = self.change.old.read(path)
            self._texts[path] = None if content is None else decoded(content)
        return self._texts[path]

    def _found(self, name: str, importer: str) -> tuple[str, str, str] | None:
        """Where a module of the old version is, that another one imports."""
        known = self.old_layout.found(name, importer)
        source = self.source(known[0]) if known else None
        return (known[0], source, known[1]) if known and source is not None else None


def _tables(module: ast.Module | None) -> list[str]:
    """Dotted names of what a module and its classes keep: patterns and words by which code is chosen."""
    found = []
    bodies = [("", module.body)] if module else []
    bodies += [(f"{node.name}.", node.body) for _, body in bodies for node in body if isinstance(node, ast.ClassDef)]
    for prefix, body in bodies:
        for node in body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found += [prefix + target.id for target in targets if isinstance(target, ast.Name)]
    return found[:60]
