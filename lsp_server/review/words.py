"""A review in the model's words. It is told the evidence and nothing else, and it can only say what is in it.

A grammar lets it write plain words, and of names and numbers those that the evidence has. Each sentence is then held
against the facts again: its words must be those of one fact, names and numbers in its order, with a "no" where it has
one. What does not stand there is dropped. The words add nothing to a report, which is complete without them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from famulus.lsp_server.review.change import Change
from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.report.source import visible
from famulus.lsp_server.review.summary import changed_functions, summary

if TYPE_CHECKING:
    from famulus.engine.client import Client

MOST_TOKENS = 1500
"""That the model reads."""
MOST_WRITTEN = 120
"""Tokens that it writes."""
SENTENCES = 5
SECONDS = 30.0
"""That it may take to write."""

_MOST_FACTS = 16
_FUNCTIONS = 6
"""Of a file that are named."""
_LONGEST = 300
"""Characters of a fact."""
_SHORTEST = 4
"""Words of a sentence that are its fact's."""
_JOINING = (
    "a", "also", "and", "are", "because", "but", "has", "have", "in", "is", "it", "of", "so", "that", "the", "this",
    "therefore", "was", "were", "which", "with",
)  # fmt: skip
_NO = frozenset(("no", "not", "none", "never", "nothing", "without", "cannot", "neither", "nor"))
_PLAIN = re.compile(r"[A-Za-z][a-z]*(?:'[a-z]+)?")
_TASK = (
    "A program has compared two versions of a project. Tell a colleague in two to four short sentences what changed "
    "and what it breaks. Say only what the facts say, in their words.\n\nFacts:\n"
)


def evidence(change: Change, shown: Sequence[Finding]) -> list[str]:
    """The facts of a review, one sentence each: what is counted, the findings with their proofs, the changed files."""
    facts = [summary(change, shown)]
    for finding in shown:
        facts.append(finding.message)
        if (proof := finding.proof.text.split("\n")[0]) not in finding.message:
            facts.append(proof)
    for file in change.files:
        functions = ", ".join(changed_functions(file)[:_FUNCTIONS])
        facts.append(f"{file.path} was {file.status}{f' in {functions}' if functions else ''}.")
    plain = (" ".join(visible(fact).split())[:_LONGEST] for fact in facts)
    return list(dict.fromkeys(plain))[:_MOST_FACTS]


def worded(engine: Client, change: Change, shown: Sequence[Finding]) -> list[str]:
    """What the model says of the review, sentence by sentence; empty if nothing that it says stands in the evidence.

    Raises the engine's typed errors.
    """
    from famulus.engine.client import chat

    facts = _fitting(engine, evidence(change, shown))
    if not facts:
        return []
    prompt = chat([{"role": "user", "content": _TASK + "".join(f"- {fact}\n" for fact in facts)}])
    constraint = {"grammar": grammar(facts)}
    with engine.generate(prompt, max_tokens=MOST_WRITTEN, constraint=constraint, deadline=SECONDS) as writing:
        return checked("".join(delta.text for delta in writing), facts)


def grammar(facts: Iterable[str]) -> str:
    """Sentences of plain words, and of names and numbers of the facts, in Lark's form."""
    names = dict.fromkeys(word for fact in facts for word in _own(fact) if not _PLAIN.fullmatch(word))
    known = [json.dumps(name, ensure_ascii=False) for name in names if name.isprintable()]
    lines = [
        f'start: sentence (" " sentence){{0,{SENTENCES - 1}}}',
        f'sentence: ({"FIRST | name" if known else "FIRST"}) (","? " " item){{{_SHORTEST - 1},30}} "."',
        f"item: {'WORD | name' if known else 'WORD'}",
        "FIRST: /[A-Z][a-z]{0,12}/",
        "WORD: /[a-z]{1,14}/",
    ]
    return "\n".join([*lines, *([f"name: {' | '.join(known)}"] if known else [])])


def checked(answer: str, facts: Sequence[str]) -> list[str]:
    """The sentences of an answer that say what a fact says, at most one for each fact."""
    kept: dict[str, str] = {}
    for sentence in re.split(r"(?<=\.) +", " ".join(answer.split())):
        fact = next((fact for fact in facts if fact not in kept and _says(sentence, fact)), None)
        if fact is not None:
            kept[fact] = sentence
    return list(kept.values())[:SENTENCES]


def _says(sentence: str, fact: str) -> bool:
    said, known = _own(sentence), _own(fact)
    words = [_stem(word) for word in said if _PLAIN.fullmatch(word) and word.lower() not in _JOINING]
    names = [word for word in said if not _PLAIN.fullmatch(word)]
    if not sentence.endswith(".") or not names or len(set(words)) + len(set(names)) < _SHORTEST:
        return False
    if not set(words) <= {_stem(word) for word in known} or len(_stated_no(said)) != len(_stated_no(known)):
        return False
    rest = iter(known)
    return all(name in rest for name in names)  # in the fact's order


def _stated_no(words: Sequence[str]) -> list[str]:
    return [word for word in words if word.lower() in _NO]


def _stem(word: str) -> str:
    """What the forms of a word have in common, more or less."""
    return word.lower()[:5]


def _own(text: str) -> list[str]:
    """The words of a sentence, names and numbers among them, without the marks around them."""
    return [word for part in text.split() if (word := part.rstrip(".,;:"))]


def _fitting(engine: Client, facts: Iterable[str]) -> list[str]:
    """As many of the facts as the model may read."""
    found = []
    left = MOST_TOKENS - len(engine.tokenize(_TASK)) - 32  # for the marks of a chat
    for fact in facts:
        left -= len(engine.tokenize(f"- {fact}\n"))
        if left < 0:
            break
        found.append(fact)
    return found
