"""A commit message for what is staged: facts from the diff, a subject by the model where it holds to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from famulus.engine.protocol import Chat
from famulus.lsp_server.commands.asking import ask, talk
from famulus.lsp_server.commands.staged import FileChange
from famulus.lsp_server.link import EngineLink

SUBJECT = 72
"""Characters of a subject line."""
CANDIDATES = 5
TOKENS = 28
DIFF_LINES = 60
SYSTEM = "You write git commit subjects: one short line in the imperative mood, like 'Fix off-by-one in parser'."

_WORD = re.compile(r"[A-Za-z_]\w*")
_CODE_NAME = re.compile(r"\b(?:[A-Za-z]+_\w+|[a-z]+[A-Z]\w*|\w+\.\w+)\b|`([^`]+)`")
_PREFIX = re.compile(r"^(?:[a-z]+(?:\([^)]*\))?!?:\s+|(?:commit|subject|message|title)\s*:\s*)", re.IGNORECASE)
_IMPERATIVES = frozenset((
    "add", "fix", "remove", "delete", "change", "update", "rename", "move", "improve", "refactor", "replace",
    "implement", "introduce", "allow", "use", "make", "handle", "support", "return", "raise", "check", "avoid",
    "drop", "extract", "simplify", "split", "merge", "ensure", "prevent", "validate", "test", "document", "correct",
    "convert", "rewrite", "clean", "set", "load", "store", "read", "write", "parse", "format", "print", "show",
    "hide", "log", "cache", "close", "open", "call", "pass", "skip", "ignore", "accept", "reject", "limit",
    "restrict", "enable", "disable", "bump", "pin", "default", "increase", "reduce", "sort", "filter", "count",
    "reset",
))  # fmt: skip


def plain_subject(changes: Sequence[FileChange]) -> str:
    """A subject that only says what the diff says."""
    verbs = {"added": "Add", "deleted": "Remove", "renamed": "Rename", "changed": "Change"}
    kinds = {change.kind for change in changes}
    verb = verbs[kinds.pop()] if len(kinds) == 1 else "Change"
    names = [name for change in changes for name in change.names]
    files = [PurePosixPath(change.path).name for change in changes]
    if verb == "Change" and 1 <= len(names) <= 3:
        subject = f"{verb} {_listed(names)} in {files[0]}" if len(files) == 1 else f"{verb} {_listed(names)}"
    elif len(files) <= 3:
        subject = f"{verb} {_listed(files)}"
    else:
        subject = f"{verb} {len(files)} files"
        folders = {PurePosixPath(change.path).parent for change in changes}
        if len(folders) == 1 and (folder := folders.pop()) != PurePosixPath("."):
            subject += f" in {folder}"
    return subject[:SUBJECT]


def question(changes: Sequence[FileChange]) -> Chat:
    """What the model is asked."""
    lines = [line for change in changes for line in [f"{change.kind} {change.path}", *change.lines]][:DIFF_LINES]
    return talk(SYSTEM, "Write the commit subject for this diff:\n" + "\n".join(line[:160] for line in lines))


async def subject(
    link: EngineLink, changes: Sequence[FileChange], report: Callable[[str], None] | None = None
) -> str | None:
    """The model's best subject that names only what the diff names; None where none does."""
    answers = await ask(link, question(changes), max_tokens=TOKENS, others=CANDIDATES - 1, stop=["\n"], report=report)
    known = {
        word for change in changes for text in (change.path, *change.names, *change.lines) for word in _words(text)
    }
    return next((found for answer in answers if (found := subject_of(answer.text, known)) is not None), None)


def subject_of(answer: str, known: set[str]) -> str | None:
    """An answer brought into shape, if it is one imperative line that names nothing foreign to the diff."""
    line = answer.strip().split("\n")[0].strip().strip("\"'`*# ")
    line = _PREFIX.sub("", line).strip("\"'` ").rstrip(". ")
    first, _, rest = line.partition(" ")
    verb = imperative(first.lower())
    if verb is None or not rest or len(line) > SUBJECT or not line.isprintable():
        return None
    named = [word for match in _CODE_NAME.finditer(rest) for word in _words(match.group())]
    if any(word not in known for word in named):
        return None
    if not any(word.lower() in {k.lower() for k in known} for word in _words(rest) if len(word) > 2):
        return None  # it says nothing of this diff
    return f"{verb.capitalize()} {rest}"


def imperative(verb: str) -> str | None:
    """ "adds", "added" and "adding" as "add"; None for what is no verb of a commit."""
    stems = [verb, verb.removesuffix("s"), verb.removesuffix("es"), verb.removesuffix("d"), verb.removesuffix("ed")]
    stems += [verb.removesuffix("ing"), verb.removesuffix("ing") + "e"]
    if len(verb) > 4 and verb.endswith("ped"):
        stems.append(verb[:-3])  # dropped, skipped
    return next((stem for stem in stems if stem in _IMPERATIVES), None)


def body(changes: Sequence[FileChange]) -> str:
    """One line for each file, where there is more than one."""
    if len(changes) < 2:
        return ""
    shown = [f"- {c.path}: {c.kind}, +{c.added} −{c.removed}" for c in changes[:20]]
    if len(changes) > 20:
        shown.append(f"- and {len(changes) - 20} files more")
    return "\n".join(shown)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _words(text: str) -> list[str]:
    return _WORD.findall(text)
