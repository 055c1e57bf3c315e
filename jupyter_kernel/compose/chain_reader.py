"""Reads instructions about plain collections as chains: *the squares of the even numbers in nums*, *words longer than 4
letters, sorted by length*, *the primes below 50*."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from famulus.jupyter_kernel.compose.chain import Chain
from famulus.jupyter_kernel.compose.chain_source import TESTS, made, source
from famulus.jupyter_kernel.compose.concepts import Concepts
from famulus.jupyter_kernel.compose.units import IMPLIED
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.option import COMPARE

_MAPS = {
    "number": {"square": "{} ** 2", "cube": "{} ** 3", "sqrt": "math.sqrt({})", "absolute": "abs({})",
               "log": "math.log({})", "factorial": "math.factorial({})", "float": "float({})", "text": "str({})"},
    "text": {"uppercase": "{}.upper()", "lowercase": "{}.lower()", "capitalize": "{}.capitalize()",
             "titlecase": "{}.title()", "length": "len({})", "reverse": "{}[::-1]"},
}  # fmt: skip
_FILL = r"(?:number |element |value |item |word |letter |of |in |is |all |the |where |to |any |each |with )*"


def chains(read: Read) -> Iterator[Chain]:
    """The readings of an instruction as chains, the likeliest first."""
    words = Concepts(read)
    start = source(words)
    if start is None:
        return
    chain = Chain(start)
    if start.holds == "made":
        made(words, chain)
    if start.holds == "vowels":
        chain.source = replace(start, holds="text")
        chain.conditions.append("letter.lower() in 'aeiou'")
    _conditions(words, chain)
    _total(words, chain)
    _each(words, chain)
    _order(words, chain)
    _container(words, chain)
    while match := re.search(r"(?<!\S)V(?!\S)", words.line):
        if words.variable(match, 0).name != chain.source.variable:
            break
        words.take("V")  # the same variable said twice: ages 的平均年龄
    words.take(_FILL.rstrip("*").replace(" ", "") + "|·")
    chain.used = words.used
    if chain.source.holds == "made":
        return
    yield chain


def _conditions(words: Concepts, chain: Chain) -> None:
    source = chain.source
    item = source.item
    texts = source.holds in ("text", "whole")
    length = f"len({item})" if texts or source.holds == "other" else item
    divisible = r"(?:where )?(?P<n>not )?(?:divisible|multiply of)(?: by| of)* (?P<a>N)(?: of)*"
    while match := words.take(divisible) or words.take(r"(?P<n>not )?(?P<a>N) divisible(?: of)*"):
        sign = "!=" if match["n"] else "=="
        chain.conditions.append(f"{item} % {words.number(match, 'a')} {sign} 0")
        for joined in (r"(?:and |but )*(?:not|ne) (?:by )?(?P<a>N)", r"and (?:by )?(?P<a>N)"):
            if more := words.take(joined):
                chain.conditions.append(f"{item} % {words.number(more, 'a')} {'!=' if 'not' in joined else '=='} 0")
    patterns = (
        (
            r"(?:where |with |have |length |is |and |of |that )*(?P<n>not )?(?:where |length |is |with |"
            r"have )*(?P<o>gt|ge|lt|le|ne)(?: than)? (?P<a>N)(?P<l>(?: of)? (?:letter|digit|length|long)"
            r")?(?: long)?(?: of)*"
        ),
        r"(?:where |is |in )*between (?P<a>N) (?:and|to) (?P<b>N)",
        r"(?:where |with |length |is )*(?:exactly )?(?P<a>N) (?P<l>letter)(?: long)?",
    )
    while match := words.take(patterns[0]):
        number = words.number(match, "a")
        sign = COMPARE[match["o"]]
        if match["n"]:
            sign = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "!=": "=="}[sign]
        chain.conditions.append(f"{length} {sign} {number}")
    if match := words.take(patterns[1]):
        chain.conditions.append(f"{words.number(match, 'a')} <= {length} <= {words.number(match, 'b')}")
    if texts and (match := words.take(patterns[2])):
        chain.conditions.append(f"len({item}) == {words.number(match, 'a')}")
    for key, test in TESTS.items():
        if source.holds in ("number", "pair", "other", "made", "array") and (
            match := words.take(rf"(?:where |is )*(?P<n>not )?{key}(?: number)?(?: of)*")
        ):
            code = test.format(item)
            chain.conditions.append(f"not ({code})" if match["n"] else code)
    if texts or source.holds in ("other", "pair"):
        _text_conditions(words, chain)


def _text_conditions(words: Concepts, chain: Chain) -> None:
    item = "key" if chain.source.holds == "pair" else chain.source.item
    methods = {"start": "{}.startswith({})", "end": "{}.endswith({})", "contain": "{1} in {0}"}
    for key, method in methods.items():
        word = r"[a-z]+|[^\s·A-Z]+"
        pattern = (
            rf"(?:where |that )*(?P<n>not )?{key}(?: with| letter| in| word| text| the| a)* (?P<t>T|{word})"
            rf"(?: of)*|(?:with |where |in )?(?P<t2>T|{word}) {key}(?: of)*"
        )
        match = re.search(rf"(?<!\S)(?:{pattern})(?!\S)", words.line)
        if not match or (match["t"] or match["t2"]) in ("word", "letter", "of"):
            continue
        match = words.take(pattern)
        assert match is not None
        group = "t" if match["t"] else "t2"
        text = words.token(match, group).value
        code = method.format(item, repr(text))
        if match.groupdict().get("n"):
            code = f"{text!r} not in {item}" if key == "contain" else f"not {code}"
        chain.conditions.append(code)


def _total(words: Concepts, chain: Chain) -> None:
    if match := words.take(r"(?P<n>N) (?P<f>max|min)(?: number| value| element| word)*(?: of| in)*"):
        token = words.token(match, "n")
        ordinal = (
            token.text.lower() not in ("two", "three") and bool(re.search(r"(st|nd|rd|th)$|cond|ird", token.text))
        ) or "第" in token.text
        chain.order, chain.descending = "value", match["f"] == "max"
        chain.value = token.value if ordinal else ""
        chain.limit = "" if ordinal else token.value
        return
    if match := words.take(r"(?P<n>N) (?P<f>longest|shortest)(?: word| element)*(?: of| in)*"):
        chain.order, chain.descending = "length", match["f"] == "longest"
        chain.limit = words.number(match, "n")
        return
    if match := words.take(r"(?P<n>N) mode(?: word| element| letter| value| number)*(?: of| in)*"):
        chain.total, chain.limit = "common", words.number(match, "n")
        return
    if words.take(r"sumsquares(?: of| in| all| number| each)*"):
        chain.total = "sum"
        words.take(r"V")
        chain.each = f"{chain.source.item} ** 2"
        return
    totals = "sum|mean|median|std|max|min|count|longest|shortest|product|mode"
    simple = rf"(?P<f>{totals})(?: count)*(?: of| all| number| value| in| element| up| each)*"
    if match := words.take(
        rf"(?P<f>(?:{totals})(?:(?: and| comma| value)+ (?:{totals}))+)(?: of| all| number| value| in)*"
    ):
        chain.totals = tuple(key for key in match["f"].split() if key in totals.split("|"))
        return
    if re.search(r"(?<!\S)(?:each|from|dict)(?!\S)", words.line) and "length" in words.line:
        return
    if re.search(r"(?<!\S)count (?:\S+ )*each(?!\S)|(?<!\S)each (?:\S+ )*count(?!\S)", words.line):
        return  # each is counted by itself
    if words.take(r"cumulative(?: sum| count| of)*"):
        chain.total = "cumulative"
        return
    if match := words.take(simple):
        chain.total = match["f"]
        ranking = [token.text.lower().split() for token in words.read.tokens if token.key == match["f"]]
        if any(word in IMPLIED for text in ranking for word in text):
            chain.container = "key"  # "the most expensive fruit" asks for the fruit
        asked = {token.text.lower() for token in words.read.tokens if token.key == "show"}
        if asked & {"who", "which", "谁", "哪个", "哪"} or re.search(r"\b(?:key|name|person|people)\b", words.line):
            chain.container = "key"
        words.take("word|letter|number|element|name|people|person|key|value")
        return
    for word, total in (("oldest", "max"), ("youngest", "min"), ("latest", "max"), ("earliest", "min")):
        if words.take(rf"{word}(?: in| of| people| person| name)*"):
            chain.total, chain.container = total, "key"
            return


def _each(words: Concepts, chain: Chain) -> None:
    source = chain.source
    if source.holds == "pair":
        if chain.conditions:
            words.take(r"filter(?: only)?|only")
        return
    maps = _MAPS["text" if source.holds in ("text", "whole") else "number"]
    if chain.conditions:
        words.take(r"filter(?: only)?|only")
    texts = source.holds in ("text", "whole")
    if texts and (match := words.take(r"(?P<p>first|last)(?: (?P<n>N))? letter(?: of| each| all)*")):
        number = words.number(match, "n") if match["n"] else ""
        cut = {"first": f"[:{number}]" if number else "[0]", "last": f"[-{number}:]" if number else "[-1]"}[match["p"]]
        chain.each = f"{source.item}{cut}"
    for key, code in maps.items():
        if key == "length" and (chain.conditions and "length" not in words.line):
            continue
        if re.search(rf"(?:sort|by) {key}", words.line) or (
            key == "reverse" and not re.search(r"\beach\b", words.line)
        ):
            continue
        if words.take(rf"(?:convert |· |each |to |in |as )*{key}(?: of| all| each| number| element)*"):
            chain.each = code.format(chain.each or source.item)
    numbers = source.holds in ("number", "other", "array")
    if numbers and (
        match := words.take(
            r"(?P<o>multiply|add|plus|subtract|divide|doubl|halv|tripl)(?: each| all| number| value| "
            r"element| by| of| in| with| ·)*(?: (?P<a>N))?(?: to each| from each| each| to all)*(?: "
            r"·)*(?: by| with| to)*(?: (?P<b>N))?"
        )
    ):
        number = words.number(match, "a") if match["a"] else words.number(match, "b") if match["b"] else ""
        sign = {
            "multiply": "*",
            "add": "+",
            "plus": "+",
            "subtract": "-",
            "divide": "/",
            "doubl": "*",
            "halv": "/",
            "tripl": "*",
        }[match["o"]]
        number = number or {"doubl": "2", "halv": "2", "tripl": "3"}.get(match["o"], "")
        if number:
            chain.each = f"{chain.each or source.item} {sign} {number}"


def _order(words: Concepts, chain: Chain) -> None:
    if words.take(r"(?:in |,)*(?:reverse|backward)(?: order| of)*") and not chain.order:
        chain.order = "reverse"
        if words.take("sort"):
            chain.order, chain.descending = "value", True
        return
    if place := words.take(r"(?:sort )?(?:of |· )*by (?P<p>last|first) letter"):
        chain.order = f"{place['p']} letter"
        words.take("sort")
        return
    match = words.take(
        r"(?:by (?P<k2>length|value|key|name|letter) )?(?:in |comma |and |· )*sort(?: of| ·| in| "
        r"letter| word| number| comma)*(?: by)?(?: (?P<k>length|value|key|name))?(?: comma| in| and| "
        r"·)*(?: (?P<d>ascending|descending))?"
    ) or words.take(r"(?:in |comma |and |by (?P<k>length|value|key) )*(?P<d>ascending|descending)(?: sort)?")
    if match:
        groups = match.groupdict()
        chain.order = groups.get("k") or groups.get("k2") or "value"
        chain.descending = groups.get("d") == "descending"
        if chain.order == "length" and words.take(r"(?:comma |and )*ascending"):
            chain.order = "length, then itself"
        if not groups.get("d") and (late := words.take(r"(?:in |comma |and )*(?P<d>ascending|descending)")):
            chain.descending = late["d"] == "descending"
    if match := words.take(
        r"(?P<p>first|last|top)(?: number| element| word)* (?P<n>N)(?: of| in| element| word| number)*"
    ):
        chain.limit, chain.tail = words.number(match, "n"), match["p"] == "last"
        if match["p"] == "top":
            chain.order, chain.descending = "value", True
    elif words.take(
        r"(?:without |remove |no )?(?:all )?(?:duplicate|unique)(?: of| value| element| number| word| "
        r"but| in| same| order)*"
    ):
        words.take("remove|no|without|same|order|keep")
        chain.container = "unique"


_SEPARATORS = {"comma": ", ", "dash": "-", "hyphen": "-", "space": " ", "semicolon": "; ", "newline": "\n",
               "textline": "\n", "slash": "/", "pipe": "|", "underscor": "_", "colon": ":"}  # fmt: skip


def _container(words: Concepts, chain: Chain) -> None:
    names = "|".join(_SEPARATORS)
    if match := words.take(
        rf"(?:comma |and |in )*(?:merge|concat|separat)(?: ·| all| word| element| of| together)*(?: "
        rf"into)?(?: a| one)?(?: text)?(?: with| by| and| use)*(?: (?:(?P<s>{names})|(?P<t>T)))?(?: "
        rf"between)?(?: into| to| text| a| one| single| ·)*"
    ):
        chain.join = words.token(match, "t").value if match["t"] else _SEPARATORS.get(match["s"] or "", " ")
        return
    if match := words.take(
        r"dict(?: from| of| with| each| element| word| number| key| ·)*(?: to| as| and| with| by| of| "
        r"·)*(?: each| value| ·)*(?P<l> length)?(?: as value| of value| ·)*"
    ):
        chain.container = "dict"
        if match["l"]:
            chain.each = f"len({chain.source.item})"
        elif words.take("square"):
            chain.each = f"{chain.source.item} ** 2"
    elif words.take("(?:as |a )*set(?: of)?"):
        chain.container = "set"
    elif words.take("(?:as |a |make |in )*(?:list|array)(?: of)*"):
        chain.container = chain.container or "list"
    elif words.take("(?:as )?tuple(?: of)*"):
        chain.container = "tuple"
