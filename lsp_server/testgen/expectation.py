"""What a function's documentation says that it answers, compared with what it does. Where they disagree one of them is
wrong, so no test pins that answer: the user is told."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Callable, Iterator, Sequence

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.outcome import Outcome
from famulus.lsp_server.execution.rendering import expression
from famulus.lsp_server.testgen.case import Aim, Example
from famulus.lsp_server.testgen.special import literal

_MOST = 3
"""Disagreements of one function that are told."""
_SENTENCE = re.compile(r"(?<=[.;\n])\s+|\n{2,}")
_VALUE = (
    r"(?P<value>-?\d+(?:\.\d+)?|None|True|False|''|\"\"|\[\]|\{\}|\(\)"
    r"|an empty (?:list|string|text|dict|dictionary|set|tuple))"
)
_RETURNS = re.compile(
    rf"\b(?:returns?|gives?|yields?|is)\s+[`*]*{_VALUE}[`*]*,?\s+(?:if|when|for|in case)\s+(?P<when>.+)", re.I
)
_OR_IF = re.compile(rf"(?:^|,|;|\bor\b|\belse\b)\s*[`*]*{_VALUE}[`*]*,?\s+(?:if|when)\s+(?P<when>.+)", re.I)
_RAISES = re.compile(
    r"(?:\braises?:?\s+(?:an?\s+)?[`*:a-z]*?`?|^)(?P<kind>[A-Z]\w*(?:Error|Exception))`*:?,?\s*(?:if|when|for)\s+(?P<when>.+)",
    re.I,
)
_EMPTY = {"list": [], "string": "", "text": "", "dict": {}, "dictionary": {}, "set": set(), "tuple": ()}
_Holds = Callable[[Sequence[tuple[str, object]]], bool]


def disagreements(aim: Aim, examples: Sequence[Example]) -> Iterator[tuple[Example, str]]:
    """Examples whose answer the documentation contradicts, each with a sentence."""
    shown = doctests(aim)
    said = list(_statements(aim))
    for example in examples:
        if example.call.before or example.call.target != aim.function.name:
            continue
        want = shown.get(example.call.text)
        if want is not None and not _as_wanted(want, example.outcome):
            yield example, f"{_told(example)}, but its doctest says {' '.join(want.split())}"
            continue
        arguments = _arguments(aim, example.call)
        for holds, agrees, words in said:
            if arguments is not None and holds(arguments) and not agrees(example.outcome):
                yield example, f"{_told(example)}, but its documentation says: {words}"
                break


def without(aim: Aim, examples: Sequence[Example]) -> tuple[list[Example], list[str]]:
    """The examples that nothing speaks against, and sentences about the others."""
    found = list(disagreements(aim, examples))
    bad = {example.call for example, _ in found}
    kept = [example for example in examples if example.call not in bad]
    told: dict[str, str] = {}
    for _, sentence in sorted(found, key=lambda pair: pair[0].call.size):
        told.setdefault(sentence.partition(", but ")[2], sentence)
    return kept, list(told.values())[:_MOST]


def doctests(aim: Aim) -> dict[str, str]:
    """Calls of the function in its own doctests, and what is said to come of them."""
    try:
        examples = doctest.DocTestParser().get_examples(aim.function.docstring)
    except ValueError:
        return {}
    found: dict[str, str] = {}
    for one in examples:
        if one.options:
            continue
        try:
            node = ast.parse(one.source.strip(), mode="eval").body
        except SyntaxError:
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("list", "sorted") and len(node.args) == 1:
            node = node.args[0] if ast.unparse(node.func) == "list" else node
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == aim.function.node.name:
            node.func = ast.Name(aim.function.name, ast.Load())
            found[ast.unparse(node)] = one.exc_msg or one.want
    return found


def _as_wanted(want: str, outcome: Outcome) -> bool:
    """Whether an answer is as a doctest has it; True where that cannot be told."""
    if outcome.kind == "raised":
        kind = re.match(r"([\w.]+)(?::|$)", want.strip())
        raised = kind is not None and kind[1].rpartition(".")[2].endswith(("Error", "Exception", "Interrupt", "Exit"))
        return raised and kind is not None and kind[1].rpartition(".")[2] in outcome.kinds
    if outcome.kind != "value" or outcome.output:
        return True
    value = outcome.value
    text = expression(["list", value[1]]) if value[:1] == ["iterator"] and len(value) == 2 else expression(value)
    if not want.strip():
        return value == ["const", "None"]
    if re.match(r"\w*(?:Error|Exception)(?::|$)", want):
        return False
    try:
        return bool(ast.literal_eval(want.strip()) == ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return True


def _statements(aim: Aim) -> Iterator[tuple[_Holds, Callable[[Outcome], bool], str]]:
    """What a docstring says for sure: for which arguments, and what."""
    names = [p.name for p in aim.function.parameters]
    text = aim.function.docstring.partition(">>>")[0]
    for sentence in _SENTENCE.split(re.sub(r"(?<![.:;\n])\n(?=\s*\S)", " ", text)):
        plain = " ".join(sentence.split()).rstrip(".")
        if match := _RAISES.search(plain):
            condition = _condition(match["when"], names)
            if condition:
                yield condition, _raising(match["kind"]), plain
        elif match := _RETURNS.search(plain) or _OR_IF.search(plain):
            condition = _condition(match["when"], names)
            if condition:
                yield condition, _returning(match["value"]), plain


def _raising(kind: str) -> Callable[[Outcome], bool]:
    return lambda outcome: outcome.kind == "raised" and kind in outcome.kinds


def _returning(text: str) -> Callable[[Outcome], bool]:
    wanted = _EMPTY[text.split()[-1].lower()] if text.startswith(("an ", "An ")) else ast.literal_eval(text)

    def agrees(outcome: Outcome) -> bool:
        found = expression(outcome.value) if outcome.kind == "value" else ""
        if not found:
            return outcome.kind != "value" or outcome.value[:1] not in (["const"], ["int"])
        value = literal(found)
        return (
            value == wanted
            and (wanted is None) == (found == "None")
            and isinstance(value, bool) == isinstance(wanted, bool)
        )

    return agrees


def _condition(words: str, names: Sequence[str]) -> _Holds | None:
    """When a statement is about a call; None where its words say more than is understood here."""
    text = re.sub(r"[`*]", "", words.strip().lower())
    if re.search(r"\b(?:and|or|unless|but|not both)\b", text):
        return None
    match = re.fullmatch(
        r"(?:the |an? )?(?P<name>\w+)?\s*(?:is|are|was|has)?\s*"
        r"(?P<what>empty|negative|zero|0|none|less than 0|below zero|blank)",
        text,
    )
    if match:
        name, what = match["name"] or "", match["what"]
        known = {n.lower(): n for n in names}
        if name in known:
            return _one(known[name], what)
        if len(names) == 1 and (
            not name or name in ("list", "string", "text", "sequence", "input", "argument", "number", "it")
        ):
            return _one(names[0], what)
        return None
    if re.fullmatch(
        r"(?:it |the \w+ |\w+ )?(?:is |was |are )?(?:not (?:found|there|present|in (?:the )?\w+)|missing|absent)", text
    ):
        return _is_missing if len(names) == 2 else None
    return None


def _one(name: str, what: str) -> _Holds:
    def holds(arguments: Sequence[tuple[str, object]]) -> bool:
        value = dict(arguments).get(name, _NOTHING)
        if what == "none":
            return value is None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if what in ("negative", "less than 0", "below zero"):
            return number and isinstance(value, int | float) and value < 0
        if what in ("zero", "0"):
            return number and value == 0
        if what == "blank":
            return isinstance(value, str) and not value.strip()
        return isinstance(value, str | bytes | list | tuple | dict | set) and not value

    return holds


_NOTHING = object()


def _is_missing(arguments: Sequence[tuple[str, object]]) -> bool:
    """Whether what is looked for, the one argument that is no collection, is not in the other one."""
    if len(arguments) != 2:
        return False
    values = [value for _, value in arguments]
    many = [value for value in values if isinstance(value, list | tuple | dict | set)]
    if len(many) == 1:
        one = next(value for value in values if value is not many[0])
        return one not in many[0]
    one, other = (value if isinstance(value, str) else "" for value in values)
    return bool(one and other) and one not in other and other not in one


def _arguments(aim: Aim, call: Call) -> list[tuple[str, object]] | None:
    """Names and values of all arguments; None where one is no literal."""
    own = [p.name for p in aim.function.parameters if p.kind in ("position", "either")]
    given = [*zip(own, call.args, strict=False), *call.kwargs]
    try:
        return [(name, ast.literal_eval(text)) for name, text in given]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _told(example: Example) -> str:
    outcome = example.outcome
    if outcome.kind == "raised":
        return f"{example.call.text} raises {outcome.exception}"
    return f"{example.call.text} gives {outcome.shown(60)}"
