"""Instructions that continue the one before: *now only for north*, *the same for price*, *as a bar chart*, 画出来.

What was said is said again with the change in it (:func:`merged`), so that a row of such instructions is one that
grows; or the words speak of what came out (*it*, *the result*, 它), which then is a name (:func:`about`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from famulus.jupyter_kernel import mentions
from famulus.jupyter_kernel.lexeme import FULL, NOISE
from famulus.jupyter_kernel.mentions import Mention, Read
from famulus.jupyter_kernel.schema import Schema, Variable

MEANT = 0.6
LONGEST = 5
"""Words that weigh, in a change that does not say that it is one."""
_MODIFYING = frozenset(
    ("descending", "ascending", "reverse", "other_way", "unique", "duplicate", "remove", "percent", "cumulative",
     "round", "uppercase", "lowercase", "titlecase", "capitalize", "transpose", "doubl", "halv", "squar", "square",
     "multiply", "divide", "merge", "concat", "first", "last", "top", "bottom", "normalize", "flatten", "frequency")
)  # fmt: skip
_RANKING = frozenset(("latest", "earliest", "longest", "shortest", "oldest", "youngest", "mode"))
# Little words before what is asked for, and things that a whole instruction names.
_LEADING = frozenset(("in", "as", "to", "with", "of", "show", "make", "all", "and", "value", "number", "element"))
_THINGS = frozenset(("row", "column", "frame", "file", "folder", "list", "dict", "function", "class", "text", "array"))
_DECORATES = re.compile(
    r"(?:(?:and|now|also|please|then)\s+)*(?:with|add|give it|set|put|use|change|make|label|name|turn on)?\s*"
    r"(?:the |a |an |its )?(?:\w+ )?(?:title|legend|grid|markers?|[xy][- ]?(?:axis|label|axes|limits?))\b"
    r"|(?:加上?|添加|设置?|显示)?(?:一个)?(?:标题|图例|网格|[xy]轴)"
    r"|in (?:red|blue|green|orange|purple|black|gr[ae]y|yellow|brown|pink|cyan)$",
    re.IGNORECASE,
)
AGGREGATES = frozenset(("mean", "sum", "median", "max", "min", "count", "std", "var"))
IT = re.compile(
    r"\b(?:it|that|this|them|these|those|their|its|the (?:result|results|output|outcome|answer|above))\b(?!\s*'s)"
    r"|\b(?:the|that|this) (?:table|chart|plot|series|list|number|numbers|value|values)\b"
    r"|把?(?:上面的|刚才的|这个)?(?:结果|(?<![\u3400-\u9fff])(?:图表|图))(?![表a-zA-Z])|把它们?|它们?|把这个|这个(?![\u3400-\u9fff])",
    re.IGNORECASE,
)
OPENS = re.compile(
    r"^(?:(?:(?:ok|okay|and|but|now|then|please|again|no|so|also)\b|,|，|现在|那么|那|请|再|也)\s*)*"
    r"(?P<sign>(?:do |show |make |plot )?(?:the )?same\b(?: thing| again| chart| plot)*|what about|how about|instead"
    r"|make (?:it|that|this)(?: into)?|turn (?:it|that|this) into|show (?:it|that|this|them)|draw (?:it|that|this)"
    r"|同样地?|一样|只看|只要|改成|改为|换成|换)?\s*",
    re.IGNORECASE,
)
DRAWN = re.compile(r"^把?(?:画出来|画一下|画成图|画个图|画图|作图|用图表示)$")
BARE = re.compile(
    r"^(?:save|export|write|store)(?: to| as| into| in)? \S+\.\w+$|^(?:plot|draw|chart|visualise|visualize|transpose)$"
    r"|^(?:保存|存|导出|写入|输出)(?:到|为|成|至)?\s*\S+\.\w+$|^(?:top|first|last|前|最后)\s*\d+\s*(?:个|行)?$"
    r"|^(?:sort(?:ed)?|order(?:ed)?)(?: (?:descending|ascending|by value))+$|^(?:降序|升序)(?:排列|排序)?$"
    r"|^how many(?: are there| is that| are they)?\s*\??$|^(?:有)?多少(?:个|行|条)?[?？]?$"
    r"|^round(?:ed)?(?: to)? \w+(?: digits?| decimals?| places?)*$",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"^(?:(?:show |keep |give me |display )?(?:me )?(?:only|just)|and|but|now|then|also|again|ok|no,)\b|\binstead\b"
    r"|\bonly\s*[.!]?$"
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
    if fragment(text, schema) or decorates(text):
        return True
    opened = OPENS.match(text)
    if opened and opened["sign"]:
        return True
    if _MARKED.search(text):
        return not _names_table(mentions.read(text, schema))
    if _PART.match(text) and not _whole(mentions.read(text, schema)):
        return True
    return bool(DRAWN.match(text) or BARE.match(text)) or any(
        not _said_here(text, spot, schema) for spot in IT.finditer(text)
    )


def fragment(words: str, schema: Schema) -> bool:
    """Whether words are a change and nothing else, though they do not say so: *highest first*, *without duplicates*,
    *in upper case*, *the two largest*, *sorted by price*."""
    found = mentions.read(words, schema)
    said = [token for token in found.tokens if token.weight > NOISE and token.key not in _LEADING]
    if not 0 < len(said) <= LONGEST or _names_table(found) or any(t.key in _THINGS or t.kind == "path" for t in said):
        return False
    first = said[1] if said[0].kind == "number" and len(said) > 1 else said[0]
    if first.key == "sort":
        return first.text.lower().startswith(("sorted", "ordered", "arranged")) or not columns(found)
    if first.key in AGGREGATES or first.key in _RANKING:
        return sum(token.kind != "number" for token in said) == 1 and not columns(found)
    return first.key in _MODIFYING and (first.key != "remove" or said[0].text.lower() == "without")


def decorates(words: str) -> bool:
    """Whether words give a picture a title, labels, a grid and the like."""
    return bool(_DECORATES.match(words.strip()))


def _whole(found: Read) -> bool:
    """Whether words that begin like a part (*for each region*) say what to do with what: *the mean of sales*."""
    does = mentions.command(found) is not None or any(token.key in AGGREGATES for token in found.tokens)
    return _names_table(found) or (does and len({m.column.name for m in columns(found) if m.column}) > 1)


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
    return re.sub(r"\s+", " ", IT.sub(f" {name} ", words, count=1)).strip()


def saving(words: str, schema: Schema) -> str:
    """The file that words save what there is to, "" where they do more than that."""
    said = mentions.read(IT.sub(" ", words), schema)
    path = next((token.value for token in said.tokens if token.kind == "path"), "")
    others = [t for t in said.tokens if t.kind != "path" and t.key not in ("save", "file") and t.weight >= FULL]
    return path if any(token.key == "save" for token in said.tokens) and not others else ""


def removes(words: str, schema: Schema) -> bool:
    """Whether words do nothing but tell to remove *it*, which may be anything."""
    said = mentions.read(IT.sub(" ", words), schema)
    return [token.key for token in said.tokens if token.weight >= FULL] == ["remove"]


def columns(found: Read) -> list[Mention]:
    """The columns that words name, one for each place."""
    best: dict[int, Mention] = {}
    for mention in found.mentions:
        if mention.kind != "column" or mention.score < MEANT:
            continue
        if mention.start not in best or best[mention.start].score < mention.score:
            best[mention.start] = mention
    return [best[start] for start in sorted(best)]


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
