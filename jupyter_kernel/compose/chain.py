"""Instructions about plain collections as chains: *the squares of the even numbers in nums*, *words longer than 4
letters, sorted by length*, *the primes below 50*."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.options import COMPARE
from famulus.jupyter_kernel.schema import Variable
from famulus.jupyter_kernel.words import NOISE, Token

_SOURCES = frozenset(("list", "tuple", "set", "dict", "text", "array", "series"))


@dataclass(frozen=True)
class Source:
    """What a chain starts from. ``item``: the name of an item in code; ``holds``: number, text, pair or other."""

    code: str
    item: str
    holds: str
    variable: str = ""


@dataclass
class Chain:
    """A source, the conditions on its items, what becomes of each, and what becomes of all."""

    source: Source
    conditions: list[str] = field(default_factory=list)
    each: str = ""
    total: str = ""
    totals: tuple[str, ...] = ()
    join: str | None = None
    order: str = ""
    descending: bool = False
    limit: str = ""
    tail: bool = False
    container: str = ""
    value: str = ""
    used: set[int] = field(default_factory=set)


class Words:
    """The instruction as a line of concepts (``square of even number in V``) of which clauses are taken away."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.variables: dict[int, Variable] = {}
        self.tokens: list[tuple[int, int, str, Token]] = []
        position = 0
        speaks_of_text = any(m.variable.kind == "text" and m.score >= 0.9 for m in read.variables())
        while position < len(read.tokens):
            token = read.tokens[position]
            end = position + 1
            named = [m for m in read.variables() if m.start == position and m.score >= 0.9 and m.variable.kind in _SOURCES]
            if position in read.taken:
                position += 1
                continue
            if token.key in ("word", "letter") and speaks_of_text and all(m.score < 1 for m in named):
                named = []
            last = self.tokens[-1][2] if self.tokens else ""
            if named:
                best = max(named, key=lambda m: (m.score, m.end))
                self.variables[len(self.tokens)] = best.variable
                key, end = "V", best.end
            elif len(token.text) == 1 and token.text.isalpha() and last in ("start", "end", "contain", "letter"):
                key = "T"
            elif token.kind == "number":
                key = "N"
            elif token.kind == "quoted":
                key = "T"
            elif token.kind == "literal":
                key = "I"
            elif token.kind == "word":
                key = re.sub(r"\W", "_", token.key)
            else:
                key = {",": "comma", "，": "comma", "、": "comma", "*": "multiply", "+": "plus", "/": "divide", "-": "subtract",
                       "^": "power", "**": "power"}.get(token.text, token.key if token.key in COMPARE else "")  # fmt: skip
            if key and not (token.weight <= NOISE and key not in ("comma", "one") and key not in COMPARE and token.kind == "word"
                            and key != "V"):  # fmt: skip
                self.tokens.append((position, end, key, token))
            position = end
        self.used: set[int] = set()
        self.line = " ".join(key for _, _, key, _ in self.tokens)
        self.starts: dict[int, int] = {}
        offset = 0
        for number, (_, _, key, _) in enumerate(self.tokens):
            self.starts[offset] = number
            offset += len(key) + 1

    def take(self, pattern: str) -> re.Match[str] | None:
        """The first match of a pattern over whole concepts, which are used up by it."""
        match = re.search(rf"(?<!\S)(?:{pattern})(?!\S)", self.line)
        if match:
            self.line = self.line[: match.start()] + re.sub(r"\S", "·", match.group()) + self.line[match.end() :]
            for offset, number in self.starts.items():
                if match.start() <= offset < match.end():
                    self.used |= set(range(self.tokens[number][0], self.tokens[number][1]))
        return match

    def token(self, match: re.Match[str], group: str) -> Token:
        return self.tokens[self.starts[match.start(group)]][3]

    def number(self, match: re.Match[str], group: str) -> str:
        value = self.token(match, group).value
        return f"{float(value[:-1]) / 100:g}" if value.endswith("%") else value

    def variable(self, match: re.Match[str], group: str) -> Variable:
        return self.variables[self.starts[match.start(group)]]


_MAPS = {
    "number": {"square": "{} ** 2", "cube": "{} ** 3", "sqrt": "math.sqrt({})", "absolute": "abs({})",
               "log": "math.log({})", "factorial": "math.factorial({})", "float": "float({})", "text": "str({})"},
    "text": {"uppercase": "{}.upper()", "lowercase": "{}.lower()", "capitalize": "{}.capitalize()",
             "length": "len({})", "reverse": "{}[::-1]"},
}  # fmt: skip
_TESTS = {
    "even": "{} % 2 == 0", "odd": "{} % 2 == 1", "positive": "{} > 0", "negative": "{} < 0",
    "prime": "{0} > 1 and all({0} % _d for _d in range(2, int({0}**0.5) + 1))",
}  # fmt: skip
_FILL = r"(?:number |element |value |item |word |letter |of |in |is |all |the |where |to |any |each |with )*"


def chains(read: Read) -> Iterator[Chain]:
    """The readings of an instruction as chains, the likeliest first."""
    words = Words(read)
    source = _source(words)
    if source is None:
        return
    chain = Chain(source)
    if source.holds == "made":
        _made(words, chain)
    if source.holds == "vowels":
        chain.source = replace(source, holds="text")
        chain.conditions.append("letter.lower() in 'aeiou'")
    _conditions(words, chain)
    _total(words, chain)
    _each(words, chain)
    _order(words, chain)
    _container(words, chain)
    words.take(_FILL.rstrip("*").replace(" ", "") + "|·")
    chain.used = words.used
    if chain.source.holds == "made":
        return
    yield chain


def _source(words: Words) -> Source | None:
    if match := words.take(r"count(?: how)?(?: letter| word| of)* (?P<t>T)(?: frequency)?(?: in| of)* (?P<v>V)"):
        variable = words.variable(match, "v")
        counted = Source(variable.name, "letter", "counted", variable.name)
        return replace(counted, code=f"{variable.name}.count({words.token(match, 't').value!r})")
    if match := words.take(r"(?P<k>word|letter|digit|vowel)(?: of| in| from| all)* (?P<v>V)|(?P<v2>V)(?: of| in)* (?P<k2>word|letter)"):
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
        if variable.kind == "text" and "单词数" in said:
            return Source(f're.findall(r"\\w+", {variable.name})', "word", "text", variable.name)
        if variable.kind == "text":
            return Source(f're.findall(r"\\w+", {variable.name})', "word", "text", variable.name) if "word" in words.line else (
                Source(variable.name, "letter", "whole", variable.name))  # fmt: skip
        return _of_variable(variable)
    if match := words.take(r"I"):
        text = next(t for _, _, key, t in words.tokens if key == "I").text
        return Source(text, "value", "number" if re.search(r"\d", text) else "text")
    if implied := _implied(words):
        return implied
    if re.search(r"\bN\b", words.line) and re.search(r"\b(number|square|cube|even|odd|prime|divisible|from|sum)\b", words.line):
        return Source("", "n", "made")
    return None


def _implied(words: Words) -> Source | None:
    """What is spoken of without its name: *them*, *the list*, or the only collection of the asked kind."""
    said = {token.text.lower() for token in words.read.tokens}
    kinds = set(words.line.split())
    latest = [v for v in words.read.schema.variables if v.kind in _SOURCES - {"series", "array"}]
    if not latest:
        return None
    if re.search(r"\bN\b", words.line) and kinds & {"to", "lt", "le", "between"} and not said & {"them", "those", "these"}:
        return None
    if said & {"them", "those", "these", "it", "它们", "它", "这些"} or kinds & {"list", "dict"}:
        wanted = next((k for k in ("list", "dict") if k in kinds), "")
        chosen = next((v for v in latest if not wanted or v.kind == wanted), None)
        return _of_variable(chosen) if chosen is not None and chosen.kind != "text" and "make" not in kinds else None
    holds = "text" if "word" in kinds else "number" if "number" in kinds and "N" not in kinds else ""
    fitting = [v for v in latest if holds and v.element == holds and v.kind in ("list", "tuple", "set")]
    if not fitting and "word" in kinds and (text := next((v for v in latest if v.kind == "text"), None)):
        words.take("word")
        return Source(f're.findall(r"\\w+", {text.name})', "word", "text", text.name)
    return _of_variable(fitting[0]) if fitting else None


def _of_variable(variable: Variable) -> Source:
    if variable.kind == "dict":
        return Source(f"{variable.name}.items()", "value", "pair", variable.name)
    holds = {"number": "number", "text": "text"}.get(variable.element, "other")
    return Source(variable.name, {"number": "n", "text": "word"}.get(holds, "item"), holds, variable.name)


def _made(words: Words, chain: Chain) -> None:
    """A range of whole numbers: *from 1 to 20*, *below 50*, *the first 10*."""
    item = chain.source.item
    if match := words.take(r"(?:from |between |in |number )*(?P<a>N) (?:to|and|le)(?: and| number)* (?P<b>N)(?: between| in| of| number)*"):
        first, last = words.number(match, "a"), words.number(match, "b")
        if not (first.lstrip("-").isdigit() and last.lstrip("-").isdigit()):
            return
        down = int(first) > int(last)
        code = f"range({first}, {int(last) - 1}, -1)" if down else f"range({first}, {int(last) + 1})"
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
        code = f"range(1, {int(limit) + over})"
    elif match := words.take(r"first (?P<a>N)(?: of| all)*"):
        number = words.number(match, "a")
        test = next((k for k in ("prime", "even", "odd") if re.search(rf"\b{k}\b", words.line)), "")
        if test:
            words.take(test)
            condition = _TESTS[test].format(item)
            chain.source = Source(
                f"itertools.islice(({item} for {item} in itertools.count(1) if {condition}), {number})", item, "number"
            )
            return
        code = f"range(1, {int(number) + 1})" if number.isdigit() else ""
    else:
        return
    if code:
        chain.source = Source(code, item, "number")


def _conditions(words: Words, chain: Chain) -> None:
    source = chain.source
    item = source.item
    texts = source.holds in ("text", "whole")
    length = f"len({item})" if texts or source.holds == "other" else item
    while match := words.take(rf"(?:where )?(?P<n>not )?(?:divisible|multiply of)(?: by| of)* (?P<a>N)(?: of)*"):
        sign = "!=" if match["n"] else "=="
        chain.conditions.append(f"{item} % {words.number(match, 'a')} {sign} 0")
        for joined in (r"(?:and |but )*(?:not|ne) (?:by )?(?P<a>N)", r"and (?:by )?(?P<a>N)"):
            if more := words.take(joined):
                chain.conditions.append(f"{item} % {words.number(more, 'a')} {'!=' if 'not' in joined else '=='} 0")
    patterns = (
        r"(?:where |with |have |length |is |and |of |that )*(?P<n>not )?(?:where |length |is |with |have )*(?P<o>gt|ge|lt|le|ne)(?: than)? (?P<a>N)(?P<l>(?: of)? (?:letter|digit|length|long))?(?: long)?(?: of)*",
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
    for key, test in _TESTS.items():
        if source.holds in ("number", "pair", "other", "made") and (match := words.take(rf"(?:where |is )*(?P<n>not )?{key}(?: number)?(?: of)*")):
            code = test.format(item)
            chain.conditions.append(f"not ({code})" if match["n"] else code)
    if texts or source.holds in ("other", "pair"):
        _text_conditions(words, chain)


def _text_conditions(words: Words, chain: Chain) -> None:
    item = "key" if chain.source.holds == "pair" else chain.source.item
    methods = {"start": "{}.startswith({})", "end": "{}.endswith({})", "contain": "{1} in {0}"}
    for key, method in methods.items():
        word = r"[a-z]+|[^\s·A-Z]+"
        pattern = rf"(?:where |that )*(?P<n>not )?{key}(?: with| letter| in| word| text| the| a)* (?P<t>T|{word})(?: of)*|(?:with |where |in )?(?P<t2>T|{word}) {key}(?: of)*"
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


def _total(words: Words, chain: Chain) -> None:
    if match := words.take(rf"(?P<n>N) (?P<f>max|min)(?: number| value| element| word)*(?: of| in)*"):
        token = words.token(match, "n")
        ordinal = token.text.lower() not in ("two", "three") and bool(re.search(r"(st|nd|rd|th)$|cond|ird", token.text)) or "第" in token.text
        chain.order, chain.descending = "value", match["f"] == "max"
        chain.value = token.value if ordinal else ""
        chain.limit = "" if ordinal else token.value
        return
    if match := words.take(r"(?P<n>N) (?P<f>longest|shortest)(?: word| element)*(?: of| in)*"):
        chain.order, chain.descending = "length", match["f"] == "longest"
        chain.limit = words.number(match, "n")
        return
    totals = "sum|mean|median|std|max|min|count|longest|shortest|product|mode"
    simple = rf"(?P<f>{totals})(?: count)*(?: of| all| number| value| in| element| up| each)*"
    if match := words.take(rf"(?P<f>(?:{totals})(?:(?: and| comma| value)+ (?:{totals}))+)(?: of| all| number| value| in)*"):
        chain.totals = tuple(key for key in match["f"].split() if key in totals.split("|"))
        return
    if re.search(r"(?<!\S)(?:each|from|dict)(?!\S)", words.line) and "length" in words.line:
        return
    if words.take(r"cumulative(?: sum| count| of)*"):
        chain.total = "cumulative"
        return
    if match := words.take(simple):
        chain.total = match["f"]
        asked = {token.text.lower() for token in words.read.tokens if token.key == "show"}
        if asked & {"who", "which", "谁", "哪个", "哪"} or re.search(r"\b(?:key|name|person|people)\b", words.line):
            chain.container = "key"
        words.take("word|letter|number|element|name|people|person|key|value")
        return
    for word, total in (("oldest", "max"), ("youngest", "min"), ("latest", "max"), ("earliest", "min")):
        if words.take(rf"{word}(?: in| of| people| name)*"):
            chain.total, chain.container = total, "key"
            return


def _each(words: Words, chain: Chain) -> None:
    source = chain.source
    if source.holds == "pair":
        return
    maps = _MAPS["text" if source.holds in ("text", "whole") else "number"]
    texts = source.holds in ("text", "whole")
    if texts and (match := words.take(r"(?P<p>first|last)(?: (?P<n>N))? letter(?: of| each| all)*")):
        number = words.number(match, "n") if match["n"] else ""
        cut = {"first": f"[:{number}]" if number else "[0]", "last": f"[-{number}:]" if number else "[-1]"}[match["p"]]
        chain.each = f"{source.item}{cut}"
    for key, code in maps.items():
        if key == "length" and (chain.conditions and "length" not in words.line):
            continue
        if re.search(rf"(?:sort|by) {key}", words.line) or (key == "reverse" and not re.search(r"\beach\b", words.line)):
            continue
        if words.take(rf"(?:convert |· |each |to |in |as )*{key}(?: of| all| each| number| element)*"):
            chain.each = code.format(chain.each or source.item)
    numbers = source.holds in ("number", "other")
    if numbers and (match := words.take(r"(?P<o>multiply|add|plus|subtract|divide|doubl|halv|tripl)(?: each| all| number| value| element| by| of| in| with| ·)*(?: (?P<a>N))?(?: to each| from each| each| to all)*(?: ·)*(?: by| with| to)*(?: (?P<b>N))?")):
        number = words.number(match, "a") if match["a"] else words.number(match, "b") if match["b"] else ""
        sign = {"multiply": "*", "add": "+", "plus": "+", "subtract": "-", "divide": "/", "doubl": "*", "halv": "/", "tripl": "*"}[match["o"]]
        number = number or {"doubl": "2", "halv": "2", "tripl": "3"}.get(match["o"], "")
        if number:
            chain.each = f"{chain.each or source.item} {sign} {number}"


def _order(words: Words, chain: Chain) -> None:
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
        r"(?:by (?P<k2>length|value|key|name|letter) )?(?:in |comma |and |· )*sort(?: of| ·| in| letter| word| number| comma)*(?: by)?(?: (?P<k>length|value|key|name))?(?: comma| in| and| ·)*(?: (?P<d>ascending|descending))?"
    ) or words.take(r"(?:in |comma |and |by (?P<k>length|value|key) )*(?P<d>ascending|descending)(?: sort)?")
    if match:
        groups = match.groupdict()
        chain.order = groups.get("k") or groups.get("k2") or "value"
        chain.descending = groups.get("d") == "descending"
        if not groups.get("d") and (late := words.take(r"(?:in |comma |and )*(?P<d>ascending|descending)")):
            chain.descending = late["d"] == "descending"
    if match := words.take(r"(?P<p>first|last|top)(?: number| element| word)* (?P<n>N)(?: of| in| element| word| number)*"):
        chain.limit, chain.tail = words.number(match, "n"), match["p"] == "last"
        if match["p"] == "top":
            chain.order, chain.descending = "value", True
    elif words.take(r"(?:without |remove |no )?(?:all )?(?:duplicate|unique)(?: of| value| element| number| word| but| in| same| order)*"):
        words.take("remove|no|without|same|order|keep")
        chain.container = "unique"


_SEPARATORS = {"comma": ", ", "dash": "-", "hyphen": "-", "space": " ", "semicolon": "; ", "newline": "\n", "textline": "\n",
               "slash": "/", "pipe": "|", "underscor": "_", "colon": ":"}  # fmt: skip


def _container(words: Words, chain: Chain) -> None:
    names = "|".join(_SEPARATORS)
    if match := words.take(rf"(?:comma |and |in )*(?:merge|concat|separat)(?: ·| all| word| element| of| together)*(?: into)?(?: a| one)?(?: text)?(?: with| by| and| use)*(?: (?:(?P<s>{names})|(?P<t>T)))?(?: between)?(?: into| to| text| a| one| single| ·)*"):
        chain.join = words.token(match, "t").value if match["t"] else _SEPARATORS.get(match["s"] or "", " ")
        return
    if match := words.take(r"dict(?: from| of| with| each| element| word| number| key| ·)*(?: to| as| and| with| by| of| ·)*(?: each| value| ·)*(?P<l> length)?(?: as value| of value| ·)*"):
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


def code(chain: Chain) -> str | None:
    """The code of a chain: one expression; None where the chain does nothing or makes no sense."""
    source = chain.source
    if source.holds == "counted":
        return source.code
    if source.holds == "pair":
        return _pairs(chain)
    if source.holds == "whole":
        return _whole(chain)
    item, inner = source.item, chain.each or source.item
    guard = f" if {' and '.join(chain.conditions)}" if chain.conditions else ""
    changed = bool(guard or chain.each)
    if chain.container == "dict":
        return f"{{{item}: {inner} for {item} in {source.code}{guard}}}" if chain.each else None
    stream = f"{inner} for {item} in {source.code}{guard}"
    listed = f"[{stream}]" if changed else source.code
    if chain.totals:
        each = [_totalled(replace(chain, total=total), f"({stream})" if changed else source.code, stream if changed else source.code) for total in chain.totals]
        return ", ".join(code for code in each if code)
    if chain.total:
        return _totalled(chain, f"({stream})" if changed else source.code, stream if changed else source.code)
    if chain.container == "unique":
        listed = f"list(dict.fromkeys({listed}))"
    if chain.order:
        listed = _sorted(chain, listed)
    if chain.value:
        return f"sorted(set({listed if not chain.order else source.code if not changed else f'[{stream}]'}), reverse={chain.descending})[{int(chain.value) - 1}]"
    if chain.limit:
        listed += f"[-{chain.limit}:]" if chain.tail else f"[:{chain.limit}]"
    if chain.join is not None:
        items = listed if source.holds == "text" else f"map(str, {listed})"
        return f"{chain.join!r}.join({items})"
    if chain.container in ("set", "tuple"):
        listed = f"{chain.container}({listed})"
    if listed.startswith(("range(", "itertools.")):
        return f"list({listed})"
    return listed if listed != source.code else None


def _sorted(chain: Chain, listed: str) -> str:
    if chain.order in ("last letter", "first letter"):
        place = "-1" if chain.order == "last letter" else "0"
        return f"sorted({listed}, key=lambda word: word[{place}]{', reverse=True' if chain.descending else ''})"
    if chain.order == "reverse":
        return f"list({listed})[::-1]"
    key = ", key=len" if chain.order == "length" else ""
    return f"sorted({listed}{key}{', reverse=True' if chain.descending else ''})"


def _totalled(chain: Chain, stream: str, bare: str) -> str | None:
    holds = chain.source.holds
    total = chain.total
    if total in ("longest", "shortest"):
        return f"{'max' if total == 'longest' else 'min'}({bare}, key=len)"
    if total == "count":
        return f"len({chain.source.code})" if bare == chain.source.code else f"sum(1 for {chain.source.item} in {chain.source.code}{' if ' + ' and '.join(chain.conditions) if chain.conditions else ''})"
    if total in ("max", "min"):
        if holds == "text":
            return None
        return f"{total}({bare})"
    if total == "cumulative":
        return f"list(itertools.accumulate({bare}))" if holds != "text" else None
    if total == "product":
        return f"math.prod({bare})"
    if total == "std":
        return f"statistics.stdev({bare})"
    if total == "mode":
        return f"statistics.mode({bare})"
    if total == "sum" and holds == "text" and "len(" not in bare:
        return None
    return f"sum({bare})" if total == "sum" else f"statistics.{total}({bare})"


def _pairs(chain: Chain) -> str | None:
    """Chains over a dictionary: conditions speak of values, results are keys or pairs."""
    name = chain.source.variable
    guard = f" if {' and '.join(chain.conditions)}" if chain.conditions else ""
    if chain.total in ("max", "min"):
        return f"{chain.total}({name}{f', key={name}.get' if chain.container == 'key' else '.values()'})"
    if chain.total == "count":
        return f"sum(1 for key, value in {name}.items(){guard})" if guard else f"len({name})"
    if chain.total in ("sum", "mean", "median"):
        values = f"value for key, value in {name}.items(){guard}" if guard else f"{name}.values()"
        return f"sum({values})" if chain.total == "sum" else f"statistics.{chain.total}({values})"
    if chain.order or chain.limit:
        by = "pair[0]" if chain.order in ("key", "name") else "pair[1]"
        code = f"sorted({name}.items(), key=lambda pair: {by}{', reverse=True' if chain.descending else ''})"
        return f"dict({code}{f'[:{chain.limit}]' if chain.limit else ''})"
    if guard:
        return f"{{key: value for key, value in {name}.items(){guard}}}"
    return None


def _whole(chain: Chain) -> str | None:
    """A text as such."""
    name = chain.source.variable
    if chain.order == "reverse":
        return f"{name}[::-1]"
    if chain.each and not chain.conditions:
        return chain.each.replace(chain.source.item, name)
    if chain.total == "count":
        return f"{name}.count({chain.value})" if chain.value else f"len({name})"
    return None
