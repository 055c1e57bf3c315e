"""What a chat model wraps around code: fences, sentences, marks of its template; and characters that are no text."""

from __future__ import annotations

import re

from famulus.engine.languages import SENTENCE_LANGUAGES
from famulus.lsp_server.completion import lexical
from famulus.lsp_server.completion.situation import Situation

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd\ud800-\udfff]"
)
_LEAK = re.compile(
    r"<\|[\w▁ /-]{1,40}\|>|<｜[^｜\n]{1,40}｜>|\[/?INST\]|<<?/?SYS>>?|<(?:PRE|SUF|MID|EOT)>"
    r"|<(?:fim|file|repo)_[a-z]{2,10}>|<(?:end|start)_of_turn>|<unused\d+>|</?think>|<\|?endoftext\|?>"
)
_ROLE = re.compile(r"\s*(assistant|user|system|model)?[ \t]*\n")
_SENTENCE_MARKS = re.compile(r"</?s>|<[be]os>|<pad>")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n`]*$", re.MULTILINE)
_CELL = re.compile(r"^[ \t]*(?:# ?%%|In ?\[[\d ]*\]:|Out ?\[[\d ]*\]:|# In\[)", re.MULTILINE)
_MARKUP = frozenset(("markdown", "mdx", "quarto", "rmd", "restructuredtext", "rst", "asciidoc", "org", "html"))

_OPENERS = re.compile(
    r"(?:This|These|That|The|Here|Note|In|To|It|You|We|I|If|For|When|Then|Now|Please|As|Let|First|Next|Finally|Below"
    r"|Above|However|Remember|Sure|Certainly|Of course|Explanation|So|Since|Because|There|My|Your|A|An)(?:'\w+)?[,:! ]"
)
_LABEL = re.compile(r"(?:Explanation|Output|Example|Usage|Answer|Solution|Result|Sure|Certainly)s?[:!](?:\s|$)")
_SMALL = re.compile(r"[a-z][a-z']*[,.:;!?]?")
_BLOCK_SCALAR = re.compile(r"[|>][+-]?\d?\s*$")


def characters(text: str, situation: Situation) -> str:
    """Lines end with a line feed; the first character that is no text (or turns the writing direction) ends it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = _CONTROL.search(text)
    return text[: found.start()] if found else text


def template_marks(text: str, situation: Situation) -> str:
    """Marks of a chat template end the text; at its start they are taken away."""
    near = situation.text[max(0, situation.offset - 2000) : situation.offset + 2000]
    plain = situation.language not in SENTENCE_LANGUAGES and not situation.language.endswith("react")
    for pattern in (_LEAK, _SENTENCE_MARKS) if plain else (_LEAK,):
        while (found := pattern.search(text)) and found[0] not in near:
            if text[: found.start()].strip():
                text = text[: found.start()]
            else:
                role = _ROLE.match(text, found.end())
                text = text[role.end() if role and role[1] else found.end() :]
    return text


def fences(text: str, situation: Situation) -> str:
    """Of an answer with a fence, the code: what is inside if nothing but words stands before, else what is before."""
    if situation.language in _MARKUP or situation.inside != "code":
        return text
    while found := _FENCE.search(text):
        before, inner = text[: found.start()], text[found.end() + 1 :]
        if before.strip() and not all(_is_prose(line) for line in before.split("\n") if line.strip()):
            return before
        if not inner.strip():
            return ""
        text = inner
    return text


def cells(text: str, situation: Situation) -> str:
    """In a notebook's cell, the mark of another cell ends the text."""
    if situation.snapshot.kind != "code":
        return text
    found = _CELL.search(text)
    return text[: found.start()] if found else text


def prose(text: str, situation: Situation) -> str:
    """A sentence outside of strings and comments ends the text, in languages that have none."""
    if situation.language in SENTENCE_LANGUAGES or not situation.language or situation.inside == "comment":
        return text
    if situation.language == "yaml" and _BLOCK_SCALAR.search(situation.line_above):
        return text
    for line in lexical.scan(text, situation.language, situation.quote).lines:
        if line.quoted or (line.start == 0 and situation.line_before.strip()):
            continue
        if _is_prose(text[line.start :].partition("\n")[0]):
            return text[: line.start]
    return text


def _is_prose(line: str) -> bool:
    content = line.strip()
    if _LABEL.match(content):
        return True
    words = content.split()
    if len(words) < 4 or not re.fullmatch(r"[A-Z][a-z]*(?:'[a-z]+)?[,:!]?", words[0]):
        return False
    small = sum(_SMALL.fullmatch(word) is not None for word in words[1:])
    if _OPENERS.match(content) and small >= max(2, 0.4 * (len(words) - 1)):
        return True
    return len(words) >= 6 and content[-1] in ".:!" and small >= 0.6 * (len(words) - 1)
