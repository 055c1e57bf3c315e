"""What is said about the part of a change that makes a test fail."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from famulus.lsp_server.execution.testserver import TestResult
from famulus.lsp_server.review.change import Tree, decoded
from famulus.lsp_server.review.finding import Edit, Finding, Grade, Place, Proof, Related, Suggestion
from famulus.lsp_server.review.narrowing import Verdict
from famulus.lsp_server.review.pieces import Piece


@dataclass(frozen=True)
class Explanation:
    """How a culprit was found. ``parts``: of the change called ``title``; ``rest``: how the test fares with all parts
    but the culprit; ``result``: the failure, None for a test that ``hangs``."""

    test: str
    runs: int
    parts: int
    title: str
    rest: Verdict
    result: TestResult | None
    hangs: bool = False

    def finding(self, culprits: Sequence[Piece], tree: Tree) -> Finding:
        """The finding; ``tree`` is the new side."""
        first = culprits[0]
        alone = "this one alone" if len(culprits) == 1 else f"these {len(culprits)} alone"
        lines = [
            f"{self.runs} runs of {self.test}, {self.parts} parts of the change ({self.title}):",
            f"with all of them: {self._seen()}; with none: passes",
            f"with {alone}: the same failure; with all others: {self.rest}",
        ]
        data = {
            "test": self.test,
            "runs": self.runs,
            "parts": self.parts,
            "culprits": [str(piece) for piece in culprits],
            "without": self.rest,
        }
        related = [Related(place=self._test_place(tree), message="the test")]
        related += [Related(place=place(piece), message="needed as well") for piece in culprits[1:]]
        symbols = [f"{place(piece).symbol or piece.path} {_digest(piece)}" for piece in culprits]
        return Finding(
            rule="culprit",
            message=self._message(culprits),
            grade=Grade.WITNESSED,
            severity="error",
            place=place(first),
            old_place=_old_place(first),
            key=f"{self.test} {' '.join(symbols)}",
            proof=Proof(kind="runs", text="\n".join(lines), data=data),
            related=tuple(related),
            suggestion=_undo(culprits),
        )

    def _message(self, culprits: Sequence[Piece]) -> str:
        first = culprits[0]
        what = "this part of the change" if first.hunk is not None else str(first)
        begin = f"{self.test.rpartition('::')[2]} {'does not end' if self.hangs else 'fails'} because of {what}"
        if len(culprits) > 1:
            others = ", ".join(str(piece) for piece in culprits[1:])
            return f"{begin} together with {others}: without any one of them it does not."
        return {
            "passes": f"{begin}: with it alone it fails, without it it passes.",
            "fails": f"{begin}: with it alone it fails; another part of the change breaks it as well.",
            "unresolved": f"{begin}: with it alone it fails, with nothing of the change it passes.",
        }[self.rest]

    def _seen(self) -> str:
        if self.result is None or not self.result.type:
            return "does not end" if self.hangs else "fails"
        said = self.result.message.splitlines()[0][:120] if self.result.message else ""
        if not said or said.startswith(self.result.type):
            return said or self.result.type
        return f"{self.result.type}: {said}"

    def _test_place(self, tree: Tree) -> Place:
        path, _, rest = self.test.partition("::")
        name = rest.partition("[")[0]
        source = decoded(tree.read(path) or b"")
        last = re.escape(name.rpartition("::")[2])
        head = re.search(rf"^[ \t]*(?:async\s+)?def\s+{last}\b", source, re.M) if name else None
        if head is None and self.result is not None and self.result.at:
            path, line = self.result.at[0]  # it is inherited
            return Place(path=path, line=line, symbol=name.replace("::", "."))
        line = source.count("\n", 0, head.start()) + 1 if head else 1
        return Place(path=path, line=line, symbol=name.replace("::", "."))


def place(piece: Piece) -> Place:
    """Where a part stands."""
    if piece.kind == "deleted":
        return Place(path=piece.path, line=1, side="old")
    if piece.hunk is None:
        return Place(path=piece.path, line=1)
    last = max(1, piece.file.new_text.count("\n") + 1)
    start = min(piece.hunk.new_start, last)
    end = max(start, piece.hunk.new_end - 1)
    return Place(path=piece.path, line=start, end_line=end, symbol=enclosing(piece.file.new_text, start))


def _old_place(piece: Piece) -> Place | None:
    if piece.file.old_path is None or piece.hunk is None:
        return None
    start = piece.hunk.old_start
    return Place(path=piece.file.old_path, line=start, end_line=max(start, piece.hunk.old_end - 1), side="old")


def enclosing(source: str, line: int) -> str:
    """The dotted name of the innermost definition around a line; empty at the top or where it cannot be told."""
    try:
        body: Sequence[ast.stmt] = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    names: list[str] = []
    while True:
        inner = next((node for node in body if _defines(node, line)), None)
        if inner is None:
            return ".".join(names)
        assert isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        names.append(inner.name)
        body = inner.body


def _defines(node: ast.stmt, line: int) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first <= line <= (node.end_lineno or node.lineno)


def _digest(piece: Piece) -> str:
    text = "\n".join((*piece.hunk.old_lines, "\0", *piece.hunk.new_lines)) if piece.hunk else piece.kind
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _undo(culprits: Sequence[Piece]) -> Suggestion | None:
    """Take the culprit back."""
    if any(piece.hunk is None for piece in culprits):
        return None
    edits = []
    for piece in culprits:
        assert piece.hunk is not None
        text = "".join(line + "\n" for line in piece.hunk.old_lines)
        edits.append(Edit(path=piece.path, line=piece.hunk.new_start, end_line=piece.hunk.new_end - 1, text=text))
    return Suggestion(title="Undo this part of the change", edits=tuple(edits))
