"""``%fix``: the code of the cell that failed last, repaired and tried on a copy. It is offered and never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from famulus.jupyter_kernel import context, prompt, repair
from famulus.jupyter_kernel.candidate import Rehearsal
from famulus.jupyter_kernel.model import Request
from famulus.jupyter_kernel.repair import Repair
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.writing import Notebook, Writes, cleaned

ROUNDS = 3
STOPS = ("\n# ", "\n```", "\n\n\n")

Rehearse = Callable[[str], Awaitable[Rehearsal | None]]


@dataclass(frozen=True)
class Failed:
    """A cell that ended in an error: its code, the class of the error and its message."""

    code: str
    error: str
    message: str


async def fix(
    failed: Failed, schema: Schema, rehearse: Rehearse, model: Writes | None = None, notebook: Notebook = Notebook()
) -> Repair | None:
    """Code that runs on a copy of the kernel where ``failed`` did not, and what was changed; None if none was found.

    A repair that only leads to another error is repaired again. What cannot be tried on a copy is no repair.
    """
    queue: list[tuple[Failed, str]] = [(failed, "")]
    seen_codes = {failed.code}
    for _ in range(ROUNDS):
        if not queue:
            break
        current, before = queue.pop(0)
        for one in repair.repairs(current.code, current.error, current.message, schema):
            reason = ", ".join(filter(None, (before, one.reason)))
            if one.code in seen_codes:
                continue
            seen_codes.add(one.code)
            seen = await rehearse(one.code)
            if works(seen):
                return Repair(one.code, reason)
            if seen is not None and seen.status == "error":
                queue.append((Failed(one.code, seen.error, seen.message), reason))
    return await _written(failed, schema, rehearse, model, notebook) if model is not None else None


def works(seen: Rehearsal | None) -> bool:
    """Whether a rehearsal ran to its end, or would have but for what it may not do outside."""
    return seen is not None and seen.status in ("ok", "refused")


async def _written(
    failed: Failed, schema: Schema, rehearse: Rehearse, model: Writes, notebook: Notebook
) -> Repair | None:
    """What a model writes in place of the code, if it is near to it: a small model would sooner write another cell."""
    model.begin()
    if not await model.connect():
        return None
    told = context.render(
        schema, failed.code, notebook.recent, "", budget=model.about.budget, count=prompt.estimated_tokens
    )
    text = prompt.fixing(told, failed.code, f"{failed.error}: {failed.message}")
    for one in await model.write(Request(text, "", STOPS), 4):
        code = cleaned(one.text)
        alike = code and code != failed.code and repair.likeness(code, failed.code) >= repair.LIKE
        if alike and works(await rehearse(code)):
            return Repair(code, "written by the model")
    return None
