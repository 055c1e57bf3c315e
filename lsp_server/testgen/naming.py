"""Names for tests that say the behaviour, found in what is special about an input."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.testgen.assertions import stable_message
from famulus.lsp_server.testgen.case import Aim, Example

_LONGEST = 70
"""Characters of a test's name."""
_KINDS: dict[object, str] = {list: "list", tuple: "tuple", dict: "dict", set: "set", str: "text", bytes: "bytes"}


def names(aim: Aim, examples: Sequence[Example], taken: set[str]) -> list[tuple[str, bool]]:
    """A free name for each example, and whether it says more than what was given and came back."""
    traits = [list(_traits(aim, example, examples)) for example in examples]
    found: list[tuple[str, bool]] = []
    used = set(taken)
    for example, own in zip(examples, traits, strict=True):
        stem = f"test_{slug(aim.function.name)}"
        told = [f"{stem}_{text}" for text in own]
        rare = sorted(told, key=lambda name: sum(name[len(stem) + 1 :] in other for other in traits))
        name = next((n for n in rare if n not in used and len(n) <= _LONGEST), "")
        telling = bool(name)
        name = name or _free(f"{stem}_{_plain(example)}".rstrip("_")[:_LONGEST].rstrip("_"), used)
        used.add(name)
        found.append((name, telling))
    return found


def slug(text: str) -> str:
    """Words as they stand in a name."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text.replace("__", ""))
    return re.sub(r"\W+|_+", "_", split, flags=re.ASCII).strip("_").lower() or "call"


def _traits(aim: Aim, example: Example, examples: Sequence[Example]) -> Iterator[str]:
    """What may be said of an example, best first."""
    outcome, call = example.outcome, example.call
    verb = "refuses" if outcome.kind == "raised" else "of"
    given = list(_given(aim, example))
    several = len(given) > 1
    said = stable_message(aim, outcome) if outcome.kind == "raised" else ""
    message = slug(said) if said else ""
    if message and sum(e.outcome.kind == "raised" for e in examples) > 1:
        yield f"raises_{message}"
    optional = [p.name for p in aim.function.parameters if p.default is not None and p.kind != "star"]
    for name, text in given:
        if name in optional and text in ("True", "False"):
            yield f"with_{slug(name)}" if text == "True" else f"without_{slug(name)}"
    for name, text in given:
        for trait in _special(text, name if several else ""):
            yield f"{verb}_{trait}" if verb == "refuses" or not several else f"with_{trait}"
    if outcome.kind == "raised":
        if message:
            yield f"raises_{message}"
        yield f"raises_{slug(outcome.exception)}"
        if given and _wordy(given[0][1]):
            yield f"refuses_{slug(given[0][1])}"
        yield f"raises_{slug(outcome.exception)}_again"
        return
    if call.before:
        methods = [m[1] for line in call.before if (m := re.match(r"self\.(\w+)\(", line))]
        if methods and call.target == aim.function.name:
            yield f"after_{slug(methods[-1])}" if len(methods) == 1 else f"after_{len(methods)}_calls"
        elif methods:
            yield f"is_seen_by_{slug(call.target.rpartition('.')[2])}"
    if outcome.arguments:
        changed = [name for place, (name, _) in enumerate(given) if str(place) in outcome.arguments]
        yield f"changes_{slug(changed[0])}" if changed else "changes_what_it_is_given"
    elif outcome.receiver:
        yield "changes_the_object"
    if outcome.output:
        yield "prints"
    value = expression(outcome.value)
    if value and given and value == given[0][1] and value not in ("None", "True", "False"):
        yield "keeps_what_needs_no_change"
    if value in ("True", "False"):
        yield f"is_{value.lower()}_for_{slug(given[0][1])}" if given and _wordy(given[0][1]) else f"is_{value.lower()}"
    elif value == "None":
        yield "gives_none"
    elif value in ("''", "[]", "()", "{}", "set()", "b''"):
        yield "gives_nothing"
    named = {name for name, _ in given}
    if optional and not named & set(optional) and any(e.call != call and _gives(aim, e, optional) for e in examples):
        yield "by_default"
    for name, text in given:
        if name in optional:
            yield f"with_{slug(name)}_{slug(text)}" if _wordy(text) else f"with_{slug(name)}"


def _gives(aim: Aim, example: Example, names: Sequence[str]) -> bool:
    return any(name in names for name, _ in _given(aim, example))


def _given(aim: Aim, example: Example) -> Iterator[tuple[str, str]]:
    """Parameters and the expressions that they got."""
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either", "star")]
    if example.call.target not in (aim.function.name, aim.function.name.removesuffix(".__init__")):
        return
    for place, text in enumerate(example.call.args):
        yield own[min(place, len(own) - 1)] if own else "argument", text
    yield from example.call.kwargs


def _special(text: str, name: str) -> Iterator[str]:
    """What is special about one argument. ``name``: of its parameter, if the test must tell which one."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return
    of = slug(name) if name else ""
    kind = _KINDS.get(type(value), "")
    if value is None:
        yield f"no_{of}" if of else "none"
    elif isinstance(value, bool):
        if of:
            yield of if value else f"{of}_off"
    elif isinstance(value, (int, float)):
        if value == 0:
            yield f"zero_{of}".rstrip("_")
        elif value < 0:
            yield f"negative_{of}" if of else "a_negative_number"
    elif kind and isinstance(value, (list, tuple, dict, set, str, bytes)):
        what = of or kind
        if not value:
            yield f"empty_{of}" if of else f"an_empty_{kind}" if kind != "bytes" else "no_bytes"
        elif isinstance(value, (str, bytes)):
            yield from _textual(value.decode("latin-1") if isinstance(value, bytes) else value, what)
        elif len(value) == 1:
            yield f"one_item_in_{of}" if of else "one_item"
        elif isinstance(value, (list, tuple)):
            if len({repr(item) for item in value}) < len(value):
                yield f"duplicates_in_{of}" if of else "duplicates"
            if any(isinstance(i, (int, float)) and not isinstance(i, bool) and i < 0 for i in value):
                yield f"negative_{of}" if of else "negative_numbers"
            yield f"several_{of}" if of else "several_items"


def _textual(text: str, what: str) -> Iterator[str]:
    if text.isspace():
        yield f"blank_{what}"
    elif text != text.strip():
        yield f"{what}_with_spaces_around" if text.strip(" ") != text else f"{what}_with_white_space_around"
    elif "\n" in text:
        yield f"{what}_of_several_lines"
    elif not text.isascii():
        yield f"{what}_with_other_letters"
    elif text.isdigit():
        yield f"{what}_of_digits"
    elif text.isupper() and len(text) > 1 and text.isalpha():
        yield f"{what}_in_capitals"
    elif len(text) == 1 and text.isalpha():
        yield f"{what}_of_one_letter"
    elif len(text.split()) > 1:
        yield f"{what}_of_several_words"


def _wordy(text: str) -> bool:
    return bool(re.fullmatch(r"['\"]?[A-Za-z0-9][\w .-]{0,20}['\"]?", text))


def _plain(example: Example) -> str:
    """The input, or the answer, as words."""
    given = " ".join(example.call.args[:2])
    if _wordy(given) and len(slug(given)) <= 24:
        return f"of_{slug(given)}"
    words = re.findall(r"[A-Za-z]+|\d+", expression(example.outcome.value))
    return f"gives_{slug('_'.join(words[:3]))}" if words else ""


def _free(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
