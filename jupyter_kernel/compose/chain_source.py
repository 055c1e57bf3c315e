"""What a chain starts from: a variable, the words of a text, a list in the instruction, a range of whole numbers."""

from __future__ import annotations

import re
from dataclasses import replace

from famulus.jupyter_kernel.compose.chain import Chain, Source
from famulus.jupyter_kernel.compose.concepts import SOURCES, Concepts
from famulus.jupyter_kernel.schema import Variable

TESTS = {
    "even": "{} % 2 == 0", "odd": "{} % 2 == 1", "positive": "{} > 0", "negative": "{} < 0",
    "prime": "{0} > 1 and all({0} % _d for _d in range(2, int({0}**0.5) + 1))",
}  # fmt: skip


def source(words: Concepts) -> Source | None:
    if match := words.take(r"count(?: how)?(?: letter| word| of)* (?P<t>T)(?: frequency)?(?: in| of)* (?P<v>V)"):
        variable = words.variable(match, "v")
        counted = Source(variable.name, "letter", "counted", variable.name)
        return replace(counted, code=f"{variable.name}.count({words.token(match, 't').value!r})")
    if match := words.take(
        r"(?P<k>word|letter|digit|vowel)(?: of| in| from| all)* (?P<v>V)|(?P<v2>V)(?: of| in)* (?P<k2>word|letter)"
    ):
        variable = words.variable(match, "v" if match["v"] else "v2")
        kind = match["k"] or match["k2"]
        if variable.kind == "text":
            if kind == "vowel":
                return Source(variable.name, "letter", "vowels", variable.name)
            code = f're.findall(r"\\w+", {variable.name})' if kind == "word" else variable.name
            return Source(code, "word" if kind == "word" else "letter", "text", variable.name)
        return _of_variable(variable)
    if match := words.take(r"(?P<v>V)"):
        variable = words.variable(match, "v")
        said = {token.text for token in words.read.tokens}
        if variable.kind == "text" and ("单词数" in said or "word" in words.line):
            return Source(f're.findall(r"\\w+", {variable.name})', "word", "text", variable.name)
        if variable.kind == "text":
            return Source(variable.name, "letter", "whole", variable.name)
        return _of_variable(variable)
    if match := words.take(r"I"):
        text = next(t for _, _, key, t in words.tokens if key == "I").text
        return Source(text, "value", "number" if re.search(r"\d", text) else "text")
    if implied := _implied(words):
        return implied
    if re.search(r"\bN\b", words.line) and re.search(
        r"\b(number|square|cube|even|odd|prime|divisible|from|sum)\b", words.line
    ):
        return Source("", "n", "made")
    return None


def _implied(words: Concepts) -> Source | None:
    """What is spoken of without its name: *them*, *the list*, or the only collection of the asked kind."""
    said = {token.text.lower() for token in words.read.tokens}
    kinds = set(words.line.split())
    latest = [v for v in words.read.schema.variables if v.kind in SOURCES - {"series", "array"}]
    if not latest:
        return None
    if (
        re.search(r"\bN\b", words.line)
        and kinds & {"to", "lt", "le", "between"}
        and not said & {"them", "those", "these"}
    ):
        return None
    if said & {"them", "those", "these", "it", "它们", "它", "这些", "their", "its"} or kinds & {"list", "dict"}:
        wanted = next((k for k in ("list", "dict") if k in kinds), "")
        chosen = next((v for v in latest if not wanted or v.kind == wanted), None)
        return _of_variable(chosen) if chosen is not None and chosen.kind != "text" and "make" not in kinds else None
    holds = "text" if kinds & {"word", "name"} else "number" if "number" in kinds and "N" not in kinds else ""
    fitting = [v for v in latest if holds and v.element == holds and v.kind in ("list", "tuple", "set")]
    if not fitting and "word" in kinds and (text := next((v for v in latest if v.kind == "text"), None)):
        words.take("word")
        return Source(f're.findall(r"\\w+", {text.name})', "word", "text", text.name)
    return _of_variable(fitting[0]) if fitting else None


def _of_variable(variable: Variable) -> Source:
    if variable.kind == "dict":
        return Source(f"{variable.name}.items()", "value", "pair", variable.name)
    if variable.kind == "array":
        # Arithmetic over arrays needs no loop: the array stands for each of its elements.
        return Source(variable.name, variable.name, "array", variable.name)
    holds = {"number": "number", "text": "text"}.get(variable.element, "other")
    return Source(variable.name, {"number": "n", "text": "word"}.get(holds, "item"), holds, variable.name)


def made(words: Concepts, chain: Chain) -> None:
    """A range of whole numbers: *from 1 to 20*, *below 50*, *the first 10*."""
    item = chain.source.item
    if match := words.take(
        r"(?:from |between |in |number )*(?P<a>N) (?:to|and|le)(?: and| number)* (?P<b>N)(?: between| in| of| number)*"
    ):
        first, last = words.number(match, "a"), words.number(match, "b")
        if not (first.lstrip("-").isdigit() and last.lstrip("-").isdigit()):
            return
        down = int(first) > int(last)
        code = f"range({first}, {last} - 1, -1)" if down else f"range({first}, {last} + 1)"
    elif match := words.take(r"(?:(?:number |all )*(?P<o>lt|le)(?: number)* |between )(?P<a>N)(?: of| in)*"):
        limit = words.number(match, "a")
        if not limit.isdigit():
            return
        over = 1 if match["o"] == "le" else 0
        mapped = next((k for k in ("square", "cube") if re.search(rf"\b{k}\b", words.line)), "")
        if mapped and "number" not in match.group() and not re.search(r"\bnumber\b", words.line):
            words.take(mapped)
            power = "2" if mapped == "square" else "3"
            sign = "<=" if over else "<"
            chain.each = f"{item} ** {power}"
            chain.conditions.append(f"{item} ** {power} {sign} {limit}")
        code = f"range(1, {limit} + 1)" if over else f"range(1, {limit})"
    elif match := words.take(r"first (?P<a>N)(?: of| all)*"):
        number = words.number(match, "a")
        test = next((k for k in ("prime", "even", "odd") if re.search(rf"\b{k}\b", words.line)), "")
        if test:
            words.take(test)
            condition = TESTS[test].format(item)
            chain.source = Source(
                f"itertools.islice(({item} for {item} in itertools.count(1) if {condition}), {number})", item, "number"
            )
            return
        code = f"range(1, {number} + 1)" if number.isdigit() else ""
    else:
        return
    if code:
        chain.source = Source(code, item, "number")
