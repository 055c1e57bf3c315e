"""A docstring for a Python function or class: one sentence that names only what is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from famulus.engine.errors import InvalidRequest
from famulus.engine.protocol import Text as Prose
from famulus.lsp_server.commands.asking import ask
from famulus.lsp_server.commands.explain import sentences_about
from famulus.lsp_server.documents import Snapshot, Text
from famulus.lsp_server.link import EngineLink
from famulus.lsp_server.syntax.python import module_of

CANDIDATES = 5
TOKENS = 48
WIDTH = 110
"""Characters of the sentence."""
LEAST_WORDS = 3
MOST = 3000
"""Code points of the definition that are sent."""
STEM = 5
"""Letters by which words are compared: ``counts`` and ``counting`` are one."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Place:
    """Where the docstring of ``name`` goes, with its indentation; the definition is ``[start, end)``."""

    name: str
    offset: int
    indentation: str
    start: int
    end: int


_COMMON = frozenset(word[:STEM] for word in ("self", "return", "none", "true", "false", "with", "from", "this", "that"))


def place_for(text: Text, offset: int) -> Place:
    """Where the innermost definition around ``offset`` takes its docstring. Raises :class:`InvalidRequest` where
    there is none, it has one already, or the text does not parse."""
    line = text.place(offset)[0] + 1
    try:
        tree = module_of(text.value)
    except SyntaxError as error:
        raise InvalidRequest(
            "The file does not parse, so its definitions are not known.", fix="Mend it first."
        ) from error
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and _first_line(node) <= line <= (node.end_lineno or node.lineno)
    ]
    if not around:
        raise InvalidRequest("There is no function or class at the cursor.", fix="Put the cursor into one.")
    inner = max(around, key=lambda node: node.lineno)
    if ast.get_docstring(inner, clean=False) is not None:
        raise InvalidRequest(f"{inner.name} has a docstring already.")
    body = inner.body[0]
    start = _first_line(body) if isinstance(body, Definition) else body.lineno
    row = start - 1
    if text.line(row)[: body.col_offset].strip() or row == inner.lineno - 1:
        raise InvalidRequest(f"The body of {inner.name} stands on the line of its head.", fix="Break that line first.")
    before = text.starts[row]
    start, end = text.starts[_first_line(inner) - 1], text.line_end((inner.end_lineno or inner.lineno) - 1)
    return Place(inner.name, before, text.value[before : before + body.col_offset], start, end)


async def write(
    link: EngineLink, seen: Snapshot, place: Place, report: Callable[[str], None] | None = None
) -> str | None:
    """The best sentence that passes the checks, as a whole docstring with its line break; None where none does."""
    value = seen.text.value
    code = value[place.start : place.end][:MOST]
    head = value[place.start : place.offset]
    prompt = Prose(f'{code}\n\n\n# The same, documented:\n{head}{place.indentation}"""')
    answers = await ask(link, prompt, max_tokens=TOKENS, others=CANDIDATES - 1, stop=['"""'], report=report)
    end = "\r\n" if "\r\n" in value else "\n"
    sentences = [found for answer in answers if (found := sentence_of(answer.text, place.name, code)) is not None]
    for sentence in sorted(sentences, key=lambda sentence: -grounds(sentence, code)):
        docstring = f'{place.indentation}"""{sentence}"""{end}'
        if same_but_docstring(value, value[: place.offset] + docstring + value[place.offset :], place.name):
            return docstring
    return None


def sentence_of(answer: str, name: str, code: str) -> str | None:
    """The first sentence of an answer, if it says something about ``code`` and names only what is there."""
    lines = [line.strip() for line in answer.strip().strip('"').split("\n")]
    sentence = re.split(r"(?<=[.!?])\s", lines[0])[0].rstrip(".!? ")
    if not sentence:
        return None
    sentence = sentence[0].upper() + sentence[1:] + "."
    words = re.findall(r"[A-Za-z]+", sentence)
    if len(words) < LEAST_WORDS or len(sentence) > WIDTH or not sentence.isprintable():
        return None
    if re.search(r"[\\={}<>;:]|\bdef\b|>>>|docstring|one-line|This (is|function|class|method)\b", sentence):
        return None
    said, own = {word.lower() for word in words}, {part.lower() for part in _parts(name)}
    if said <= own or not grounds(sentence, code):
        return None  # only the name again, or about nothing in particular
    return sentence if sentences_about(sentence, code).kept else None


def grounds(sentence: str, code: str) -> int:
    """How many words of a sentence are parts of names in the code."""
    known = {part.lower()[:STEM] for part in _parts(code) if len(part) > 3}
    said = {word.lower()[:STEM] for word in re.findall(r"[A-Za-z]{4,}", sentence)}
    return len(known & said - _COMMON)


def same_but_docstring(before: str, after: str, name: str) -> bool:
    """Whether ``after`` is ``before`` with one docstring more, at a definition called ``name``."""
    try:
        old, new = module_of(before), module_of(after)
    except SyntaxError:
        return False
    extra = [
        node
        for node in ast.walk(new)
        if isinstance(node, Definition) and node.name == name and ast.get_docstring(node, clean=False) is not None
    ]
    for node in extra:
        kept, node.body = node.body, node.body[1:]
        if ast.dump(old) == ast.dump(new):
            return True
        node.body = kept
    return False


def _parts(code: str) -> list[str]:
    """The words that names are made of."""
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", code)


def _first_line(node: ast.stmt) -> int:
    """With its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
