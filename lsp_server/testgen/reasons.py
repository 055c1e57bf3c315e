"""Why there are no tests for a function, as a sentence."""

from __future__ import annotations

import collections
import re
from collections.abc import Collection, Sequence

from famulus.lsp_server.execution.outcome import Outcome

_EFFECTS = (
    (r"socket\.", "it needs the network"),
    (r"subprocess|os\.(system|exec|posix_spawn)|pty", "it starts other programs"),
    (r"os\.(fork|kill)", "it starts or ends processes"),
    (r"os\.(remove|rename|rmdir|truncate|chmod|chown|link|symlink)|shutil", "it changes or deletes files"),
    (r"open:w", "it writes files at places of its own"),
    (r"webbrowser", "it opens a browser"),
    (r"ctypes", "it loads a library of the system"),
    (r"os\.putenv", "it changes the environment"),
    (r"builtins", "it replaces what is built into Python"),
)
_DISPLAY = re.compile(r"display|tkinter|TclError|Qt|pygame|X server", re.I)
_CHANCE = {"entropy": "os.urandom", "random": "random", "clock": "the clock", "argv": "the command line"}


def reason(outcomes: Sequence[Outcome], tried: int, asked: Collection[str], *, stable: bool) -> str:
    """Why nothing came of the outcomes. ``asked``: sources that change; ``stable``: False if there were answers that
    were not the same in each run."""
    effects = sorted({e for o in outcomes if o.value[:2] != ["object", "Result"] for e in o.effects})
    raised = [o for o in outcomes if o.kind == "raised"]
    if any(_DISPLAY.search(f"{o.exception} {o.message}") for o in raised[:20]):
        return "it needs a display"
    for pattern, sentence in _EFFECTS:
        named = [effect for effect in effects if re.match(pattern, effect)]
        if named:
            return sentence if named == ["builtins"] else f"{sentence} ({', '.join(named[:3])})"
    sources = [_CHANCE[name] for name in ("entropy", "clock", "random", "argv") if name in asked]
    if sources:
        return f"its answers depend on {' and '.join(sources)}, which tests cannot set"
    if not stable:
        return "its answers differ from run to run"
    if not tried:
        return "there is no way to call it"
    ended = [o.ended for o in outcomes if o.kind == "ended" and o.ended != "skipped"]
    if ended and 2 * len(ended) >= len([o for o in outcomes if o.ended != "skipped"]):
        return "its calls do not end" if ended.count("died") * 2 < len(ended) else f"its calls {_died(outcomes)}"
    missing = [o.message for o in raised if o.exception in ("ModuleNotFoundError", "ImportError")]
    if missing:
        return f"something that it needs is not installed ({missing[0][:80]})"
    kinds = collections.Counter(o.exception for o in raised)
    if raised and len(raised) == len([o for o in outcomes if o.kind != "invalid" and o.ended != "skipped"]):
        return f"no arguments were found that it takes (most calls raise {kinds.most_common(1)[0][0]})"
    return (
        "its answers cannot be written down"
        if any(o.kind == "value" for o in outcomes)
        else ("no arguments were found that it takes")
    )


def _died(outcomes: Sequence[Outcome]) -> str:
    detail = next((o.detail for o in outcomes if o.ended == "died" and o.detail), "")
    return f"end their process ({detail})" if detail else "end their process"
