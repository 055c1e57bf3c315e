"""Makes strings that nobody vouches for harmless in a prompt: names of columns, values, messages of errors.

A string is told as a ``repr``, so that it stays within its line and its quotes; one that reads like an instruction,
like code or like a whole sentence is not told at all, because a small model follows what it reads wherever it stands.
Marks of chat templates are broken up. Standard library only.
"""

from __future__ import annotations

import re

from famulus.jupyter_kernel import privacy

WORDS, LONGEST = 6, 48
"""A longer name is told by its place."""

_INSTRUCTION = re.compile(
    r"""(?xi)
      \b(?:ignore|disregard|forget|override|bypass|pretend)\b.*
      \b(?:all|any|above|previous|prior|earlier|instructions?|rules?|prompts?|you)\b
    | \binstructions?\b | \bprompts?\b | \byou\s+(?:are|must|should|will)\b | \b(?:assistant|system)\s*:
    | \b(?:os\.|sys\.|subprocess|__import__|eval|exec|system)\s*[(.] | \bos\.system\b | \bimport\s+\w+ | \bpip\s+install
    | <[|｜] | </?s> | \brm\s+-|\bsudo\b|\bcurl\b|\bwget\b | ;\s*\w+\s*[(=] | ``` | \[/?(?:INST|SYS)\] | \#\#\#
    | \b(?:run|execute|call|delete|drop|remove|send|upload|print|write|output|respond|reply|say)
      \s+(?:the|all|this|that|following|only|with|every|table|file)\b
    | 忽略|无视|忘记.{0,6}(?:指令|提示|以上)|指令|提示词|请(?:执行|运行|删除|输出)|执行(?:以下|下面)|系统提示
    """
)
_TEMPLATE = re.compile(r"<(?=[|｜/!A-Za-z_])")
_RAISED = re.compile(
    r"(?P<kind>[A-Za-z_][\w.]*(?:Error|Exception|Warning|Interrupt|Exit|Iteration|Timeout|NotFound|Refused|Group))"
    r"(?::(?P<said>.*))?\Z"
)
_ESCAPED = re.compile(r"\\[nrxuU]")
_IDENTIFIER = re.compile(r"[^\W\d]\w*\Z")


def instructs(text: str) -> bool:
    """Does it read like an instruction or like code?"""
    return bool(_INSTRUCTION.search(text) or _INSTRUCTION.search(text.replace("_", " ").replace("-", " ")))


def name(text: str) -> str:
    """A name as it may be told: bare if it is an identifier, else its ``repr``. "" if it must not be told."""
    words = re.split(r"[\s_]+", text.strip())
    if not text.strip() or not text.isprintable() or len(text) > LONGEST or len(words) > WORDS or instructs(text):
        return ""
    return text if _IDENTIFIER.match(text) and text.isidentifier() else unmarked(repr(text))


def value(written: str, longest: int = 32) -> str:
    """A ``repr`` as it may be told, "" if it must not: it is long, has several lines, or reads like an instruction."""
    text = written.rstrip("…")
    if len(text) > longest or not written.isprintable() or _ESCAPED.search(written):
        return ""
    is_text = text[:1] in "'\"[({"
    if is_text and (instructs(text) or len(text.split()) > WORDS):
        return ""
    return unmarked(written)


def message(text: str, longest: int = 160) -> str:
    """Of an error or its traceback, the class (``KeyError``) and the first line of its message, quoted, if it may be
    told."""
    lines = text.split("\n")[-200:]
    found = next((match for line in reversed(lines) if (match := _RAISED.match(line[:400]))), None)
    if found is None:
        return ""
    kind, said = found["kind"].rpartition(".")[2], (found["said"] or "").strip()
    if len(kind) > LONGEST or not kind.isascii() or instructs(kind):
        return ""
    if not said or len(said) > longest or not said.isprintable() or instructs(said):
        return kind
    return f"{kind}: {unmarked(repr(privacy.hide(said)))}"


def unmarked(text: str) -> str:
    """Without anything that a tokenizer could take for a mark of a chat template."""
    return _TEMPLATE.sub("‹", text).replace("```", "'''").replace("[INST]", "[ INST ]")
