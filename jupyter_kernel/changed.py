"""An instruction said again with the change that the next one asks for: *the same for price*, *by month*."""

from __future__ import annotations

import re
from collections.abc import Iterator

from famulus.jupyter_kernel import mentions
from famulus.jupyter_kernel.follow import AGGREGATES, BARE, DRAWN, IT, MEANT, OPENS, columns, decorates
from famulus.jupyter_kernel.lexeme import FULL, NOISE, Token
from famulus.jupyter_kernel.mentions import Mention, Read
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.words import lexicon

CHARTS = frozenset(("plot", "bar", "line", "hist", "scatter", "pie", "box", "heatmap", "horizontal"))
_ARITHMETIC = frozenset(("multiply", "divide", "plus", "subtract"))
_UNITS = frozenset(("year", "quarter", "month", "week", "day", "weekday", "hour"))
_BY = frozenset(("by", "each", "per", "every", "按"))
# Behind one of these any word may stand.
_FREE = frozenset(("title", "label", "legend", "where", "is", "contain", "start", "end", "name", "bin"))
_PICTURES = ("png", "jpg", "jpeg", "svg", "pdf", "gif")
_PIECES = re.compile(
    r"\s*(?:,|，)?\s*\b(?:but|and)\b\s+(?=as\b|for\b|only\b|by\b|per\b|with\b|in\b|now\b|sort|round|top\b)"
    r"|[,，]\s*(?=as\b|for\b|only\b|but\b|只|改|按|用)",
    re.IGNORECASE,
)
_SORTED = re.compile(
    r",?\s*(?:and\s+)?\b(?:sort(?:ed)?|order(?:ed)?)\b(?: it| them)?(?: by \w+)?(?: in)?"
    r"(?: (?:descending|ascending)(?: order)?)?(?:,? (?:highest|lowest|largest|smallest) first)?"
    r"|[,，]?(?:按\w{1,8}?)?(?:降序|升序|从大到小|从小到大)(?:排序|排列)?",
    re.IGNORECASE,
)
_ROUNDED = re.compile(r",?\s*(?:and )?round(?:ed)?(?: it)?(?: to)? \w+(?: digits?| decimals?| decimal places?)?", re.I)
_LITTLE = re.compile(r"\binstead\b(?: of .*)?|\bthis time\b|\bthe same\b", re.IGNORECASE)


def merged(words: str, schema: Schema, before: str) -> str:
    """``before`` with the change that ``words`` ask for, "" where none is recognised."""
    change = words.strip().rstrip(".。!！")
    change = change[OPENS.match(change).end() :] if OPENS.match(change) else change  # type: ignore[union-attr]
    text = before.strip().rstrip(".。?？")
    also = bool(re.match(r"\W*(?:and\s+)?(?:also|too|也|再)\b", words.strip(), re.IGNORECASE))
    for piece in _PIECES.split(change):
        piece = re.sub(r"\binstead\b(?: of .*)?|\bthis time\b|\bthe same\b", "", piece, flags=re.IGNORECASE).strip(
            " ,，"
        )
        piece = re.sub(r"^(?:but|and|now)\s+", "", piece, flags=re.IGNORECASE)
        if piece:
            text = _changed(text, piece, schema, also)
            if not text:
                return ""
    return text if text != before.strip() else ""


def _changed(text: str, piece: str, schema: Schema, also: bool) -> str:
    if decorates(piece):
        joined = "" if re.match(r"with|in\b", piece, re.IGNORECASE) else "with "
        bare = re.sub(r"^(?:add|give it|set|put|use|change|make|turn on)\s+", "", piece, flags=re.IGNORECASE)
        return f"{text} {joined}{bare}" if _draws(text, schema) else ""
    if DRAWN.match(piece):
        return f"{_without_chart(text, schema)} as a chart"
    if re.match(r"how many\b|有?多少", piece, re.IGNORECASE) and BARE.match(piece):
        return f"how many {text}"
    said = mentions.read(IT.sub(" ", piece), schema)
    keys = [token.key for token in said.tokens if token.weight > NOISE]
    path = next((token.value for token in said.tokens if token.kind == "path"), "")
    if path and "save" in keys:
        base = text if path.rpartition(".")[2].lower() in _PICTURES else _without_chart(text, schema)
        return f"{base} and save it to {path}"
    if CHARTS & set(keys) and not columns(said):
        bare = _without_chart(text, schema)
        rest = said.text.strip()
        kinds = [k for k in keys if k in CHARTS - {"plot", "horizontal"}]
        if keys in (["horizontal"], ["make", "horizontal"]):
            return f"{bare} as a horizontal bar chart"
        if not kinds and all(key in CHARTS for key in keys):
            rest = "as a chart"
        elif not re.match(r"\s*(?:as|with|in)\b", rest):
            rest = "as a " + re.sub(r"^\W*(?:plot|draw|show|用|画成?|an?)\s*(?:as )?(?:an? )?", "", rest)
        return f"{bare} {rest}"
    if _ARITHMETIC & set(keys) or keys == ["remove"] or (not _FREE & set(keys) and _unknown(said)):
        return ""
    if {"sort", "ascending", "descending", "other_way"} & set(keys):
        rest = re.sub(r"^\s*(?:sort(?:ed)?|order(?:ed)?)\b", "", said.text, flags=re.IGNORECASE).strip()
        direction = next((key for key in keys if key in ("ascending", "descending")), "")
        if "other_way" in keys:
            direction = "ascending" if _descends(text, schema) else "descending"
        if direction and not columns(said):
            rest = direction
            if by := re.search(r"\b(?:sort|order)(?:ed)? (?:it |them )?(by [^\W\d]\w*)", text, re.IGNORECASE):
                rest = f"{by[1]} {direction}"
        return f"{_SORTED.sub('', text).strip()} sorted {re.sub(r' +', ' ', rest)}".rstrip()
    if "round" in keys:
        digits = next((token.value for token in said.tokens if token.kind == "number"), "0")
        return f"{_ROUNDED.sub('', text)} rounded to {digits} digits"
    return next(_replaced(text, said, keys, schema, also), "")


def _draws(text: str, schema: Schema) -> bool:
    return any(token.key in CHARTS for token in mentions.read(text, schema).tokens)


def _descends(text: str, schema: Schema) -> bool:
    return any(token.key in ("descending", "top") for token in mentions.read(text, schema).tokens)


def _unknown(said: Read) -> bool:
    """Whether a change has a word that means nothing here, so that it is no change."""
    known = lexicon().single.values()
    meant = {i for m in said.mentions if m.score >= MEANT for i in range(m.start, m.end)}
    return any(
        token.kind == "word" and token.weight >= FULL and token.key not in known and index not in meant
        for index, token in enumerate(said.tokens)
    )


def _replaced(text: str, said: Read, keys: list[str], schema: Schema, also: bool) -> Iterator[str]:
    """The text with what the change names in the place of what it takes."""
    old = mentions.read(text, schema)
    tables = [m for m in said.variables() if m.score >= 0.9]
    others = [m for m in old.variables() if m.score >= 0.9 and tables and m.variable.kind == tables[0].variable.kind]
    if tables and others:
        yield _put(text, old, others[0], tables[0].variable.name)
    elif tables:
        yield f"{text} in {tables[0].variable.name}"
    values = [m for m in said.mentions if m.kind == "sample" and m.column is not None]
    compares = {"gt", "lt", "ge", "le", "between", "contain", "missing", "not", "where"} & set(keys)
    if values and not compares:
        value = values[0]
        assert value.column is not None
        spot = next((m for m in old.mentions if m.kind == "sample" and m.column == value.column), None)
        spoken = " ".join(token.text for token in said.tokens[value.start : value.end])
        yield _put(text, old, spot, spoken) if spot and not also else f"{text} where {value.column.name} is {spoken}"
    if compares:
        condition = re.sub(r"^\s*(?:only|just|for|where|rows?|those|the ones|with)*\s*", "", said.text).strip()
        condition = re.sub(r"^(?:only |just |for |the |rows |those |where |with |whose )+", "", condition)
        yield f"{text} where {condition}"
    named = columns(said)
    if named:
        column = named[0]
        spoken = " ".join(token.text for token in said.tokens[column.start : column.end])
        grouped = column.start > 0 and said.tokens[column.start - 1].key in ("by", "each", "per", "every", "按")
        spot = _place(old, column, grouped)
        unit = _unit(old) if grouped and spot is None and not also else None
        if unit is not None:
            yield f"{text[: unit[0]]}{text[unit[1] :]} per {spoken}"
        elif grouped and (also or spot is None):
            yield f"{text} and {spoken}" if spot else f"{text} per {spoken}"
        elif spot is not None and not also:
            yield _swapped_aggregate(_put(text, old, spot, spoken), keys, schema)
    units = [i for i, token in enumerate(said.tokens) if token.key in _UNITS and i and said.tokens[i - 1].key in _BY]
    if units and not named:
        keys_before = [m for m in columns(old) if m.start and old.tokens[m.start - 1].key in _BY]
        spoken = said.tokens[units[0]].text
        unit = _unit(old)
        if keys_before and not also:
            yield _put(text, old, keys_before[0], spoken)
        elif unit is not None and not also:
            yield f"{text[: unit[0]]}{text[unit[1] :]} per {spoken}"
        else:
            yield f"{text} per {spoken}"
    aggregates = AGGREGATES & set(keys)
    if aggregates and not named:
        yield _swapped_aggregate(text, keys, schema, _word(said, aggregates))
    numbers = [token for token in said.tokens if token.kind == "number"]
    if numbers:
        spots = [token for token in old.tokens if token.kind == "number"]
        near = {token.key for token in said.tokens if token.kind == "word" and token.weight > NOISE}
        if len(spots) == 1 and near <= {token.key for token in old.tokens}:
            yield text[: spots[0].start] + numbers[0].text + text[spots[0].end :]
    if re.match(r"(?:top|first|last|前|最后)", said.text.strip(), re.IGNORECASE):
        yield f"{said.text.strip()} of {text}"
    elif keys:
        yield f"{text} {said.text.strip()}"


def _unit(old: Read) -> tuple[int, int] | None:
    """Where a text says a unit of time that it groups by: *monthly*, *per month*."""
    for index, token in enumerate(old.tokens):
        before = old.tokens[index - 1] if index else token
        if token.key in _UNITS and (before.key in _BY or token.text.lower().endswith("ly")):
            return (before.start if before.key in _BY else token.start), token.end
    return None


def _swapped_aggregate(text: str, keys: list[str], schema: Schema, word: str = "") -> str:
    """The text with another aggregate, if the keys have one."""
    new = [key for key in keys if key in AGGREGATES]
    if not new:
        return text
    old = mentions.read(text, schema)
    spot = next((token for token in old.tokens if token.key in AGGREGATES), None)
    word = word or new[0]
    return text[: spot.start] + word + text[spot.end :] if spot else f"{word} of {text}"


def _word(said: Read, keys: frozenset[str]) -> str:
    return next(token.text for token in said.tokens if token.key in keys)


def _place(old: Read, new: Mention, grouped: bool) -> Mention | None:
    """The column in whose place another comes: one of its kind, and a key in place of a key."""
    assert new.column is not None
    found = []
    for mention in columns(old):
        assert mention.column is not None
        key = mention.start > 0 and old.tokens[mention.start - 1].key in ("by", "each", "per", "every", "按")
        if key == grouped and (grouped or (mention.column.kind == "number") == (new.column.kind == "number")):
            found.append(mention)
    return found[0] if found else None


def _put(text: str, old: Read, spot: Mention, new: str) -> str:
    return text[: old.tokens[spot.start].start] + new + text[old.tokens[spot.end - 1].end :]


def _without_chart(text: str, schema: Schema) -> str:
    """The text without its words for a picture, *as a bar chart* or *plot*."""
    found = mentions.read(text, schema).tokens
    kept, skip = text, []
    for index, token in enumerate(found):
        if token.kind == "word" and token.key in CHARTS and not _is_name(token, schema):
            start = token.start
            back = index - 1
            while back >= 0 and found[back].text.lower() in ("a", "an", "as", "the", "in", "of", "horizontal", "用"):
                start = found[back].start
                back -= 1
            end = token.end
            if index + 1 < len(found) and found[index + 1].text.lower() == "of":
                end = found[index + 1].end
            skip.append((start, end))
    for start, end in reversed(skip):
        kept = kept[:start] + " " + kept[end:]
    return re.sub(r"\s+", " ", kept).strip(" ,，")


def _is_name(token: Token, schema: Schema) -> bool:
    return schema.variable(token.text) is not None
