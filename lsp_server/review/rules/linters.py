"""What linters say about the new side and did not say about the old one: ruff, and others by their SARIF reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from famulus.engine.errors import FamulusError
from famulus.lsp_server.review.finding import Finding, Grade, Place, Proof, Suggestion
from famulus.lsp_server.review.linting.newly import Remark, Texts, newly
from famulus.lsp_server.review.rule import Context, Rule, Stage

_SECONDS = 20.0
"""The longest that ruff may take for one side; it needs some ten milliseconds for a hundred files."""


class Linters:
    """Both sides are looked at; what was there before is nobody's business now."""

    name = "linters"
    title = "remarks of ruff and other linters that are new"
    stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """See the class."""
        try:
            yield from self._findings(context, *_by_ruff(context))
        except FamulusError as error:
            context.left_out.append(f"ruff: {error}")
        if context.sarif_new:
            try:
                yield from self._findings(context, *_by_sarif(context))
            except FamulusError as error:
                context.left_out.append(f"SARIF: {error}")

    def _findings(self, context: Context, old: Sequence[Remark] | None, new: Sequence[Remark]) -> Iterator[Finding]:
        """``old`` None: nothing is known of the old side, so only changed lines count."""
        before, now = Texts(context.change.old), Texts(context.change.new)
        placed = [now.placed(remark) for remark in new]
        if old is None:
            found = [r for r in placed if _on_changed_line(context, r) and r.data.get("baselineState") != "unchanged"]
        else:
            found = newly(map(before.placed, old), placed, lambda remark: _on_changed_line(context, remark))
        for remark in found:
            if remark.line not in context.neutral.get(remark.path, ()):
                yield self._finding(remark)

    def _finding(self, remark: Remark) -> Finding:
        from famulus.lsp_server.review.linting.ruff import proved

        certain = remark.tool == "ruff" and proved(remark.code)
        opinion = remark.tool == "ruff" and not certain
        text = f"{remark.tool} {remark.code}: {remark.message}" + (f"\n{remark.url}" if remark.url else "")
        return Finding(
            rule=f"{self.name}/{remark.tool}/{remark.code}",
            message=f"{remark.message} ({remark.tool} {remark.code}).",
            grade=Grade.PROVED if certain else Grade.MEASURED,
            place=Place(
                path=remark.path, line=remark.line, column=remark.column, end_line=remark.end_line,
                end_column=remark.end_column, symbol=remark.symbol,
            ),
            key=f"{remark.tool}:{remark.code}:{remark.symbol}:{remark.line_text or remark.message}",
            proof=Proof(kind="tool", text=text, data={"tool": remark.tool, "code": remark.code}),
            severity="note" if opinion else remark.severity,
            suggestion=Suggestion(title=remark.fix[0], edits=remark.fix[1]) if remark.fix else None,
        )  # fmt: skip


def _by_ruff(context: Context) -> tuple[list[Remark], list[Remark]]:
    from famulus.lsp_server.review.linting.ruff import remarks

    context.progress("Asking ruff about both sides")
    change = context.change
    # The folder was named by the user, so its configuration may be followed; two bare trees have no owner.
    configuration = change.new if context.root is not None else None
    seconds = min(_SECONDS, context.clock.left)
    old = [file.old_path for file in change.python() if file.old_path]
    new = [file.new_path for file in change.python() if file.new_path]
    after = remarks(change.new, new, configuration, seconds, context.root)
    return (remarks(change.old, old, configuration, seconds, context.root) if after else []), after


def _by_sarif(context: Context) -> tuple[list[Remark] | None, list[Remark]]:
    from famulus.lsp_server.review.linting.sarif import read

    def all_of(paths: Sequence[Path]) -> list[Remark]:
        return [remark for path in paths for remark in read(path, context.root)]

    return all_of(context.sarif_old) if context.sarif_old else None, all_of(context.sarif_new)


def _on_changed_line(context: Context, remark: Remark) -> bool:
    file = context.change.file(remark.path)
    return file is not None and remark.line in file.changed_new_lines


RULE: Rule = Linters()
