"""What the words of an instruction may mean in slots that no variable fills: numbers, texts, paths, new names."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Mapping, Sequence

from famulus.jupyter_kernel.formula import FORMULA, formula_code
from famulus.jupyter_kernel.lexeme import NOISE, Token
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.option import AGG, COMPARE, UNITS, Context, Option, fraction, named, of_variable
from famulus.jupyter_kernel.patterns import CHARACTERS, patterns
from famulus.jupyter_kernel.recipe import Slot
from famulus.jupyter_kernel.words import lexicon


def _numbers(slot: Slot, context: Context) -> list[Option]:
    found = []
    for index, token in enumerate(context.read.tokens):
        if token.kind != "number":
            continue
        score = 1.0 if token.weight >= 1 else 0.6
        share = _is_share(context.read.tokens, index)
        if slot.kind == "percent" and not share:
            continue
        code = fraction(token.value) if token.value.endswith("%") else token.value
        if slot.type == "int" and not re.fullmatch(r"-?\d+", code):
            continue
        found.append(
            Option(code, index, index + 1, score, attributes={"fraction": fraction(token.value), "name": token.value})
        )
    for mention in context.read.variables():
        if mention.variable.kind == "number" and slot.kind != "percent":
            found.append(of_variable(mention.variable, mention.start, mention.end, 0.85 * mention.score))
    return found


def _is_share(tokens: Sequence[Token], index: int) -> bool:
    value = tokens[index].value
    following = tokens[index + 1].key if index + 1 < len(tokens) else ""
    return value.endswith("%") or following == "percent" or value.startswith("0.")


def _word(token: Token, index: int, score: float) -> Option:
    return Option(repr(token.value), index, index + 1, score, attributes=named(token.value))


# Prepositions and such are never what is to be written somewhere.
_LITTLE = frozenset(
    ("is", "to", "from", "of", "with", "as", "and", "or", "in", "for", "by", "each", "all", "show", "make")
)


def _words(slot: Slot, context: Context) -> list[Option]:
    found = []
    exact = [m for m in context.read.mentions if m.kind != "sample" and m.score >= 0.98 and m.end == m.start + 1]
    variables = {m.start for m in exact if m.kind == "variable"}
    known = {m.start for m in exact}
    for index, token in enumerate(context.read.tokens):
        if token.kind == "word" and token.text.lower() in CHARACTERS and index not in known:
            character = CHARACTERS[token.text.lower()]
            found.append(Option(repr(character), index, index + 1, 0.8, attributes=named(character)))
        if token.kind == "quoted":
            found.append(_word(token, index, 1.0))
        elif token.kind in ("word", "date") and token.weight > 0.1 and token.key not in _LITTLE:
            unlikely = index in variables or token.key in lexicon().single.values()
            before = context.read.tokens[index - 1] if index else token
            announced = index not in known and (
                before.text.lower() in ("called", "named", "名为", "叫") or _listed(context.read.tokens, index)
            )
            found.append(_word(token, index, (0.1 if unlikely else 0.5) + (0.4 if announced else 0.0)))
        elif token.kind == "word" and index and context.read.tokens[index - 1].key in ("replace", "word", "letter"):
            found.append(_word(token, index, 0.4))  # a little word may be what is replaced: "replace be with is"
        elif token.kind == "symbol" and token.text not in ",.?!。？！=()，、：:*/":
            # A sign that no sentence needs is what is spoken of.
            score = 0.7 if token.text in "#$@&€£¥%~|_" else 0.15
            found.append(Option(repr(token.text), index, index + 1, score, attributes=named(token.text)))
    found += _unknown_runs(context.read)
    for mention in context.read.mentions:
        if mention.kind == "sample":
            text = ast.literal_eval(mention.value)
            found.append(Option(mention.value, mention.start, mention.end, mention.score, attributes=named(text)))
    return found


def _listed(tokens: Sequence[Token], index: int) -> bool:
    """Whether a word stands behind *column* or in the list that follows *columns*: *with columns a, b and c*."""
    place = index - 1
    while place > 0 and place > index - 9 and (
        tokens[place].key in (",", "，", "、", "and") or tokens[place - 1].key in (",", "，", "、", "and", "column")
    ):  # fmt: skip
        place -= 1
    return place >= 0 and tokens[place].key == "column"


def _unknown_runs(read: Read) -> list[Option]:
    """Chinese words that are not known come character by character: neighbours make one word."""
    found = []
    index = 0
    while index < len(read.tokens):
        end = index
        while (
            end < len(read.tokens)
            and _unknown(read.tokens[end])
            and (end == index or read.tokens[end - 1].end == read.tokens[end].start)
        ):
            end += 1
        if end - index > 1:
            text = "".join(token.text for token in read.tokens[index:end])
            found.append(Option(repr(text), index, end, 0.65, attributes=named(text)))
        index = max(end, index + 1)
    return found


def _unknown(token: Token) -> bool:
    return token.kind == "word" and token.text > "\u3400" and token.key == token.text and token.weight > NOISE


def _values(slot: Slot, context: Context) -> list[Option]:
    truths = {"true": "True", "false": "False", "none": "None", "真": "True", "假": "False"}
    found = _numbers(slot, context)
    for option in _words(slot, context):
        text = context.read.tokens[option.start].text.lower()
        found.append(option if text not in truths else Option(truths[text], option.start, option.end, 0.9))
    for index, token in enumerate(context.read.tokens):
        if token.kind == "literal":
            found.append(Option(token.text, index, index + 1, 0.9))
    return found


def _paths(slot: Slot, context: Context) -> list[Option]:
    found = []
    for index, token in enumerate(context.read.tokens):
        if token.kind == "path":
            found.append(Option(repr(token.value), index, index + 1, 1.0, attributes=named(token.value)))
        elif token.kind == "quoted":
            found.append(_word(token, index, 0.7 if slot.type == "folder" or "." in token.value else 0.4))
        elif slot.type == "folder" and (score := _as_folder(context.read, index)):
            found.append(_word(token, index, score))
    for mention in context.read.variables():
        if mention.variable.kind in ("path", "text"):
            found.append(of_variable(mention.variable, mention.start, mention.end, 0.9 * mention.score))
    return found


_NO_FOLDERS = frozenset(("current", "same", "whole", "entire", "local", "parent", "bytes", "kb", "mb"))


def _as_folder(read: Read, index: int) -> float:
    """How likely a bare word is the name of a folder: *the folder data* and *the data folder* are, *in old* may be."""
    token = read.tokens[index]
    plain = (token.weight >= 1 and token.key not in lexicon().single.values()) or token.text == "data"
    # *create the folder plots*: at the end any word is its name.
    named = index > 1 and read.tokens[index - 1].text.lower() in ("named", "called", "名为", "叫")
    announced = index - 2 if named else index - 1
    plain = plain or (index == len(read.tokens) - 1 and announced >= 0 and read.tokens[announced].key == "folder")
    if named and read.tokens[announced].key == "folder":
        return 0.9
    if token.kind != "word" or not plain or not token.text.isascii() or token.text in _NO_FOLDERS:
        return 0.0
    before = [t for t in read.tokens[:index] if t.weight > NOISE][-1:]
    after = read.tokens[index + 1 : index + 2]
    if any(t.key == "folder" for t in (*before, *after)):
        return 0.9
    return 0.2 if before and before[0].key in ("in", "to", "from", "of") else 0.0


def _new(slot: Slot, context: Context) -> list[Option]:
    if context.name:
        return [Option(context.name, score=1.0, attributes=named(context.name))]
    if slot.default is not None:
        return []
    found = []
    for index, token in enumerate(context.read.tokens):
        name = token.text
        fresh = name.isidentifier() and not keyword.iskeyword(name) and context.schema.variable(name) is None
        if token.kind == "word" and fresh and token.weight >= 1 and name.isascii():
            found.append(Option(name, index, index + 1, 0.5, attributes=named(name)))
    return found


def _compares(slot: Slot, context: Context) -> list[Option]:
    return [
        Option(COMPARE[t.key], i, i + 1, 0.3 if t.key == "is" else 1.0)
        for i, t in enumerate(context.read.tokens)
        if t.key in COMPARE
    ]


def agg_option(key: str, start: int, end: int, score: float, library: str) -> Option:
    """An aggregate, by the name that ``library`` has for it. ``start`` and ``end``: the tokens that say it."""
    names = AGG.get(library, AGG["pandas"])
    return Option(names.get(key, key), start, end, score, attributes={"name": key, "id": key})


def _aggs(slot: Slot, context: Context) -> list[Option]:
    names = AGG.get(context.library, AGG["pandas"])
    return [
        agg_option(t.key, i, i + 1, 1.0 if t.key not in ("first", "last") else 0.4, context.library)
        for i, t in enumerate(context.read.tokens)
        if t.key in names and t.kind == "word"
    ]


def order_option(ascending: bool, start: int, end: int, score: float) -> Option:
    """The order of a sorting, as the value of ``ascending``."""
    attributes = {"descending": str(not ascending), "name": "ascending" if ascending else "descending"}
    return Option(str(ascending), start, end, score, attributes=attributes)


def _orders(slot: Slot, context: Context) -> list[Option]:
    return [
        order_option(t.key == "ascending", i, i + 1, 1.0)
        for i, t in enumerate(context.read.tokens)
        if t.key in ("ascending", "descending")
    ]


def unit_option(key: str, start: int, end: int, score: float) -> Option:
    """A unit of time, with the frequency that pandas calls by it."""
    return Option(key, start, end, score, attributes={"freq": UNITS.get(key, "D"), "name": key, "id": key})


def _units(slot: Slot, context: Context) -> list[Option]:
    known = {*UNITS, "weekday", "second_", "date"}
    return [
        unit_option(t.key.removesuffix("_"), i, i + 1, 1.0) for i, t in enumerate(context.read.tokens) if t.key in known
    ]


def _formulas(slot: Slot, context: Context) -> list[Option]:
    found = []
    text = context.read.text
    spans = [(m.start(), m.end()) for m in FORMULA.finditer(text.replace("²", "^2").replace("³", "^3"))]
    for begin, finish in spans:
        code = formula_code(text.replace("²", "^2").replace("³", "^3")[begin:finish])
        if code is None:
            continue
        inside = [i for i, t in enumerate(context.read.tokens) if begin <= t.start < finish]
        if inside:
            score = 1.0 if len(inside) > 1 else 0.4
            found.append(Option(code, inside[0], inside[-1] + 1, score, attributes=named(text[begin:finish].strip())))
    names = {"sine": "sin", "cosine": "cos", "sin": "sin", "cos": "cos", "tangent": "tan", "正弦": "sin", "余弦": "cos"}
    for index, token in enumerate(context.read.tokens):
        if token.text.lower() in names and not any(o.start <= index < o.end for o in found):
            function = names[token.text.lower()]
            found.append(Option(f"np.{function}(x)", index, index + 1, 0.9, attributes=named(f"{function}(x)")))
    return found


def _patterns(slot: Slot, context: Context) -> list[Option]:
    return [
        Option(_raw(found.regex), found.start, found.end, 1.0, attributes=named(found.regex))
        for found in patterns(context.read.tokens)
    ]


def _raw(regex: str) -> str:
    return f'r"{regex}"' if '"' not in regex else repr(regex)


READERS: Mapping[str, Callable[[Slot, Context], list[Option]]] = {
    "number": _numbers, "int": _numbers, "word": _words, "value": _values, "path": _paths, "folder": _paths,
    "new": _new, "compare": _compares, "agg": _aggs, "order": _orders, "unit": _units, "formula": _formulas,
    "pattern": _patterns,
}  # fmt: skip
