"""Instructions that continue the one before: *now only for north*, *the same for price*, *as a bar chart*, 画出来.

What was said is said again with the change in it (:func:`merged`), so that a row of such instructions is one that
grows; or the words speak of what came out (*it*, *the result*, 它), which then is a name (:func:`about`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from famulus.jupyter_kernel import mentions
from famulus.jupyter_kernel.lexeme import FULL, NOISE, Token
from famulus.jupyter_kernel.mentions import Mention, Read
from famulus.jupyter_kernel.schema import Schema, Variable
from famulus.jupyter_kernel.words import lexicon

MEANT = 0.6
_CHARTS = frozenset(("plot", "bar", "line", "hist", "scatter", "pie", "box", "heatmap", "horizontal"))
_AGGREGATES = frozenset(("mean", "sum", "median", "max", "min", "count", "std", "var"))
_ARITHMETIC = frozenset(("multiply", "divide", "plus", "subtract"))
# Behind one of these any word may stand.
_FREE = frozenset(("title", "label", "legend", "where", "is", "contain", "start", "end", "name", "bin"))
_PICTURES = ("png", "jpg", "jpeg", "svg", "pdf", "gif")
_IT = re.compile(
    r"\b(?:it|that|this|them|these|those|the (?:result|results|output|outcome|answer|above))\b(?!\s*'s)"
    r"|\b(?:the|that|this) (?:table|chart|plot|series|list|number|numbers|value|values)\b"
    r"|把?(?:上面的|刚才的|这个)?(?:结果|(?<![\u3400-\u9fff])(?:图表|图))(?![表a-zA-Z])|把它们?|它们?|把这个|这个(?![\u3400-\u9fff])",
    re.IGNORECASE,
)
_OPENS = re.compile(
    r"^(?:(?:(?:ok|okay|and|but|now|then|please|again|no|so|also)\b|,|，|现在|那么|那|请|再|也)\s*)*"
    r"(?P<sign>(?:do |show |make |plot )?(?:the )?same\b(?: thing| again| chart| plot)*|what about|how about|instead"
    r"|make (?:it|that|this)(?: into)?|turn (?:it|that|this) into|show (?:it|that|this|them)|draw (?:it|that|this)"
    r"|同样地?|一样|只看|只要|改成|改为|换成|换)?\s*",
    re.IGNORECASE,
)
_DRAWN = re.compile(r"^把?(?:画出来|画一下|画成图|画个图|画图|作图|用图表示)$")
_BARE = re.compile(
    r"^(?:save|export|write|store)(?: to| as| into| in)? \S+\.\w+$|^(?:plot|draw|chart|visualise|visualize|transpose)$"
    r"|^(?:保存|存|导出|写入|输出)(?:到|为|成|至)?\s*\S+\.\w+$|^(?:top|first|last|前|最后)\s*\d+\s*(?:个|行)?$"
    r"|^(?:sort(?:ed)?|order(?:ed)?)(?: (?:descending|ascending|by value))+$|^(?:降序|升序)(?:排列|排序)?$"
    r"|^how many(?: are there| is that| are they)?\s*\??$|^(?:有)?多少(?:个|行|条)?[?？]?$"
    r"|^round(?:ed)?(?: to)? \w+(?: digits?| decimals?| places?)*$",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"^(?:and|but|now|then|also|again|only|just|ok|no,)\b|\binstead\b"
    r"|^(?:再|也|现在|只|改|换|同样|按.{1,8}排|用.{1,6}图|画成.{1,6}图$|画出来|画图|画个图|画一下)",
    re.IGNORECASE,
)
_PART = re.compile(r"^(?:as|with|for|by|per|in)\b", re.IGNORECASE)
# Between what an instruction says first and what it then does with that: *total sales, call it t*, *group and plot it*.
_BREAK = re.compile(r"[,，;；。]|\.\s|\b(?:and|then)\b|\s(?=(?:call|name)\s*$)|并且?|然后|再", re.IGNORECASE)
_DEFINED = re.compile(
    r"that (?:is|are|was|were|has|have|had|does|do|did|can|contains?|includes?|starts?|begins?|ends?|match(?:es)?"
    r"|equals?|exceeds?|appears?|occurs?|lies?|falls?|belongs?|comes?|takes?|returns?|gives?|costs?|lacks?|sold)\b"
    r"|this (?:year|month|week|quarter|day|morning)\b"
    r"|the \w+ (?:of|from|where|per)\b|the (?:values?|numbers?|list|series) in\b",
    re.IGNORECASE,
)
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


@dataclass(frozen=True)
class Previous:
    """The cell before. ``words``: what it was told, as one instruction ("" for Python); ``code``: what ran;
    ``value``: what it showed, as a variable of any name; ``bound``: the name that it bound last."""

    words: str = ""
    code: str = ""
    value: Variable | None = None
    bound: str = ""


def follows(words: str, schema: Schema) -> bool:
    """Whether an instruction goes on from the one before. The only rule for it: the words refer back (*now*, *the
    same*, an *it* that is nothing they have said themselves), or are a part of an instruction (*for north*, *top 3*).
    Others mean after any cell what they mean in a new kernel."""
    text = words.strip()
    opened = _OPENS.match(text)
    if opened and opened["sign"]:
        return True
    if _MARKED.search(text):
        return not _names_table(mentions.read(text, schema))
    if _PART.match(text) and not _whole(mentions.read(text, schema)):
        return True
    return bool(_DRAWN.match(text) or _BARE.match(text)) or any(
        not _said_here(text, spot, schema) for spot in _IT.finditer(text)
    )


def _whole(found: Read) -> bool:
    """Whether words that begin like a part (*for each region*) say what to do with what: *the mean of sales*."""
    does = mentions.command(found) is not None or any(token.key in _AGGREGATES for token in found.tokens)
    return _names_table(found) or (does and len({m.column.name for m in _columns(found) if m.column}) > 1)


def _said_here(text: str, spot: re.Match[str], schema: Schema) -> bool:
    """Whether an *it* is what the same words have said (*total sales by region, call it totals*) or say behind it
    (*the number of rows*, *rows that are empty*, *the list nums*)."""
    behind = re.match(r"\s*(\w+)", text[spot.end() :])
    relative = spot.group().lower() != "that" or spot.start() > 0
    if relative and (_DEFINED.match(text, spot.start()) or (behind and schema.variable(behind[1]) is not None)):
        return True
    before = text[: spot.start()]
    breaks = [at for at in _BREAK.finditer(before) if before[: at.start()].strip()]
    if not breaks or not (before[breaks[-1].end() :].strip() or spot.group().startswith("把")):
        return False
    return not follows(before[: breaks[-1].start()].rstrip(" ,，;；。"), schema)


def about(words: str, name: str) -> str:
    """The words with ``name`` for what they call *it* or *the result*; unchanged where they do not."""
    return re.sub(r"\s+", " ", _IT.sub(f" {name} ", words, count=1)).strip()


def saving(words: str, schema: Schema) -> str:
    """The file that words save what there is to, "" where they do more than that."""
    said = mentions.read(_IT.sub(" ", words), schema)
    path = next((token.value for token in said.tokens if token.kind == "path"), "")
    others = [t for t in said.tokens if t.kind != "path" and t.key not in ("save", "file") and t.weight >= FULL]
    return path if any(token.key == "save" for token in said.tokens) and not others else ""


def removes(words: str, schema: Schema) -> bool:
    """Whether words do nothing but tell to remove *it*, which may be anything."""
    said = mentions.read(_IT.sub(" ", words), schema)
    return [token.key for token in said.tokens if token.weight >= FULL] == ["remove"]


def merged(words: str, schema: Schema, before: str) -> str:
    """``before`` with the change that ``words`` ask for, "" where none is recognised."""
    change = words.strip().rstrip(".。!！")
    change = change[_OPENS.match(change).end() :] if _OPENS.match(change) else change  # type: ignore[union-attr]
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
    if _DRAWN.match(piece):
        return f"{_without_chart(text, schema)} as a chart"
    if re.match(r"how many\b|有?多少", piece, re.IGNORECASE) and _BARE.match(piece):
        return f"how many {text}"
    said = mentions.read(_IT.sub(" ", piece), schema)
    keys = [token.key for token in said.tokens if token.weight > NOISE]
    path = next((token.value for token in said.tokens if token.kind == "path"), "")
    if path and "save" in keys:
        base = text if path.rpartition(".")[2].lower() in _PICTURES else _without_chart(text, schema)
        return f"{base} and save it to {path}"
    if _CHARTS & set(keys) and not _columns(said):
        bare = _without_chart(text, schema)
        rest = said.text.strip()
        kinds = [k for k in keys if k in _CHARTS - {"plot", "horizontal"}]
        if not kinds and all(key in _CHARTS for key in keys):
            rest = "as a chart"
        elif not re.match(r"\s*(?:as|with|in)\b", rest):
            rest = "as a " + re.sub(r"^\W*(?:plot|draw|show|用|画成?|an?)\s*(?:as )?(?:an? )?", "", rest)
        return f"{bare} {rest}"
    if _ARITHMETIC & set(keys) or keys == ["remove"] or (not _FREE & set(keys) and _unknown(said)):
        return ""
    if "sort" in keys or {"ascending", "descending"} & set(keys):
        rest = re.sub(r"^\s*(?:sort(?:ed)?|order(?:ed)?)\b", "", said.text, flags=re.IGNORECASE).strip()
        direction = next((key for key in keys if key in ("ascending", "descending")), "")
        if direction and not _columns(said):
            rest = direction
        return f"{_SORTED.sub('', text).strip()} sorted {re.sub(r' +', ' ', rest)}".rstrip()
    if "round" in keys:
        digits = next((token.value for token in said.tokens if token.kind == "number"), "0")
        return f"{_ROUNDED.sub('', text)} rounded to {digits} digits"
    return next(_replaced(text, said, keys, schema, also), "")


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
    columns = _columns(said)
    if columns:
        column = columns[0]
        spoken = " ".join(token.text for token in said.tokens[column.start : column.end])
        grouped = column.start > 0 and said.tokens[column.start - 1].key in ("by", "each", "per", "every", "按")
        spot = _place(old, column, grouped)
        if grouped and (also or spot is None):
            yield f"{text} and {spoken}" if spot else f"{text} per {spoken}"
        elif spot is not None and not also:
            yield _swapped_aggregate(_put(text, old, spot, spoken), keys, schema)
    aggregates = _AGGREGATES & set(keys)
    if aggregates and not columns:
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


def _swapped_aggregate(text: str, keys: list[str], schema: Schema, word: str = "") -> str:
    """The text with another aggregate, if the keys have one."""
    new = [key for key in keys if key in _AGGREGATES]
    if not new:
        return text
    old = mentions.read(text, schema)
    spot = next((token for token in old.tokens if token.key in _AGGREGATES), None)
    word = word or new[0]
    return text[: spot.start] + word + text[spot.end :] if spot else f"{word} of {text}"


def _word(said: Read, keys: frozenset[str]) -> str:
    return next(token.text for token in said.tokens if token.key in keys)


def _place(old: Read, new: Mention, grouped: bool) -> Mention | None:
    """The column in whose place another comes: one of its kind, and a key in place of a key."""
    assert new.column is not None
    found = []
    for mention in _columns(old):
        assert mention.column is not None
        key = mention.start > 0 and old.tokens[mention.start - 1].key in ("by", "each", "per", "every", "按")
        if key == grouped and (grouped or (mention.column.kind == "number") == (new.column.kind == "number")):
            found.append(mention)
    return found[0] if found else None


def _columns(found: Read) -> list[Mention]:
    best: dict[int, Mention] = {}
    for mention in found.mentions:
        if mention.kind != "column" or mention.score < MEANT:
            continue
        if mention.start not in best or best[mention.start].score < mention.score:
            best[mention.start] = mention
    return [best[start] for start in sorted(best)]


def _put(text: str, old: Read, spot: Mention, new: str) -> str:
    return text[: old.tokens[spot.start].start] + new + text[old.tokens[spot.end - 1].end :]


def _without_chart(text: str, schema: Schema) -> str:
    """The text without its words for a picture, *as a bar chart* or *plot*."""
    found = mentions.read(text, schema).tokens
    kept, skip = text, []
    for index, token in enumerate(found):
        if token.kind == "word" and token.key in _CHARTS and not _is_name(token, schema):
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


def _names_table(found: Read) -> bool:
    return any(mention.score >= 0.9 for mention in found.variables())


def after(previous: Previous, words: str, code: str, value: Variable | None, bound: str) -> Previous:
    """What the next cell may go on from. A cell that shows and binds nothing (a picture, a file) leaves *it* as it
    was; a cell of Python (no ``words``) that does show or bind something leaves nothing to say again."""
    if value is None and not bound:
        return Previous(words.strip() or previous.words, previous.code, previous.value, previous.bound)
    return Previous(words.strip(), code, value, bound)


def lasting(text: str, words: str) -> str:
    """What of an instruction that grew the next may go on from: saving is done once."""
    return re.sub(r"(?: and)? save it to \S+$", "", text) if "save it to" in text else text.strip() or words
