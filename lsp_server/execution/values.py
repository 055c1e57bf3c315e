"""Values of a type as Python expressions: the edges of the type first, then drawn ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from famulus.lsp_server.execution.regexes import Pattern

Draw = Callable[[random.Random], str]


@dataclass(frozen=True)
class Values:
    """Values of one type. ``kind``: its name; ``edges``: those that are tried first; ``draw``: makes another one."""

    kind: str
    edges: tuple[str, ...]
    draw: Draw

    def some(self, dice: random.Random) -> str:
        """An edge or a drawn one."""
        return dice.choice(self.edges) if self.edges and dice.random() < 0.4 else self.draw(dice)


@dataclass
class Vocabulary:
    """Constants that the code itself uses: where it may turn."""

    integers: list[int] = field(default_factory=list)
    floats: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)
    containers: list[str] = field(default_factory=list)
    """Tuples, lists and the like that are written out."""


_WORDS = (
    "a",
    "b",
    "abc",
    "Hello",
    "World",
    "x1",
    "foo_bar",
    "foo-bar",
    "12",
    "3.5",
    "key",
    "Zoë",
    "value",
    "_x",
    "the",
)
_GLUE = (
    " ",
    ",",
    "-",
    "_",
    ".",
    "/",
    ":",
    "=",
    "\n",
    "\t",
    ";",
    "'",
    '"',
    "(",
    ")",
    "",
    "  ",
    "#",
    "%",
    "<",
    ">",
    "\\",
)
_TEXTS = (
    "",
    "a",
    "abc",
    "Hello World",
    " a  b ",
    "1",
    "-12.5",
    "a,b;c",
    "fooBar_baz-Qux",
    "äß€",
    "x=1\ny=2\n",
    "/usr/lib/file.tar.gz",
    "2024-02-29",
    "<b>x &amp; y</b>",
    "http://user@host.org:80/a/b?c=d&e=f#g",
    "aaa",
    "True",
    "\u0301e日本😀",
    "\x1b[1mx\x1b[0m",
    "{a} %s $b",
    "- a\n- b\n\n# c",
)


def integers(words: Vocabulary) -> Values:
    """Whole numbers, with those of the code and their neighbours."""
    near = [str(n + d) for n in dict.fromkeys(words.integers) for d in (0, 1, -1) if abs(n) < 10**9]

    def draw(dice: random.Random) -> str:
        if near and dice.random() < 0.35:
            return dice.choice(near)
        return str(dice.randint(-3, 12) if dice.random() < 0.7 else dice.randint(-100, 1000))

    return Values(
        "int", tuple(dict.fromkeys(["0", "1", "2", "5", "-1", "3", "10", *near[:24], "7", "-4", "100", "256"])), draw
    )


def floats(words: Vocabulary) -> Values:
    """Finite floats."""
    near = [repr(f) for f in dict.fromkeys(words.floats)] + [repr(float(n)) for n in dict.fromkeys(words.integers)]

    def draw(dice: random.Random) -> str:
        if near and dice.random() < 0.3:
            return dice.choice(near)
        return repr(round(dice.uniform(-10, 100), dice.choice((0, 1, 2, 4))))

    return Values("float", ("0.0", "1.0", "0.5", "-1.5", "2.75", *near[:12], "100.0", "1e-09", "-0.0"), draw)


def texts(words: Vocabulary) -> Values:
    """Texts, with those of the code."""
    own = list(dict.fromkeys(t for t in words.texts if len(t) < 60))

    def draw(dice: random.Random) -> str:
        matched = [dice.choice(words.patterns).example(dice)] if words.patterns and dice.random() < 0.5 else []
        if matched and dice.random() < 0.6:
            return repr(matched[0])
        pool = own if own and dice.random() < 0.6 else _WORDS
        parts = [dice.choice(pool if dice.random() < 0.6 else _WORDS)]
        for _ in range(dice.choice((0, 0, 1, 1, 2, 3, 5))):
            parts += [dice.choice(own if own and dice.random() < 0.3 else _GLUE), dice.choice(matched or pool)]
        return repr("".join(parts))

    sure = random.Random(0)
    first = [repr(pattern.example(sure)) for pattern in words.patterns[:8]] + [repr(text) for text in own[:16]]
    lengths = [n for n in dict.fromkeys(words.integers) if 3 <= n <= 80][:3]  # where code asks how long a text is
    first += [repr(text) for n in lengths for text in ("a" * (n + 1), ("abcdefghij" * 8)[:n])]
    return Values("str", tuple(dict.fromkeys([repr("abc"), repr(""), *first, *map(repr, _TEXTS)])), draw)


def binary(words: Vocabulary) -> Values:
    """Bytes."""
    inner = texts(words)

    def encoded(text: str) -> str:
        return repr(str(eval(text, {"__builtins__": {}})).encode())  # a literal that we made ourselves

    return Values(
        "bytes", ("b''", "b'abc'", "b'\\x00\\xff'", *map(encoded, inner.edges[2:8])), lambda d: encoded(inner.draw(d))
    )


def constant(kind: str, *choices: str) -> Values:
    """One of a few expressions."""
    return Values(kind, choices, lambda dice: dice.choice(choices))


def booleans() -> Values:
    """True and False."""
    return constant("bool", "False", "True")


def many(kind: str, inner: Values, opening: str, closing: str) -> Values:
    """Lists, sets and the like of ``inner``; short ones, some with equal items, some sorted."""

    def written(items: Sequence[str]) -> str:
        if not items and opening.endswith("{"):
            return opening[:-1] + "set()" + closing[1:]
        return opening + ", ".join(items) + ("," if opening.endswith("(") and len(items) == 1 else "") + closing

    def draw(dice: random.Random) -> str:
        items = [inner.some(dice) for _ in range(dice.choice((0, 1, 2, 2, 3, 3, 4, 5, 7)))]
        if items and dice.random() < 0.3:
            items.append(dice.choice(items))
        if dice.random() < 0.3 and inner.kind in ("int", "float"):
            items.sort(key=float)
        return written(items)

    first = inner.edges[:6]
    edges = [
        written(first[:3]),
        written([]),
        written(first[:1]),
        written([*first[1:3], *first[1:2]]),
        written(first[::-1]),
    ]
    return Values(kind, tuple(dict.fromkeys(edges)), draw)


def lists(inner: Values) -> Values:
    """Lists of ``inner``."""
    return many(f"list[{inner.kind}]", inner, "[", "]")


def tuples(inner: Values) -> Values:
    """Tuples of any length."""
    return many(f"tuple[{inner.kind}, ...]", inner, "(", ")")


def sets(inner: Values) -> Values:
    """Sets."""
    return many(f"set[{inner.kind}]", inner, "{", "}")


def iterators(inner: Values) -> Values:
    """Iterators, which can be read once."""
    made = many("", inner, "iter([", "])")
    return Values(f"iterator[{inner.kind}]", made.edges, made.draw)


def pairs(*parts: Values) -> Values:
    """Tuples of fixed length."""

    def written(items: Sequence[str]) -> str:
        return "(" + ", ".join(items) + ("," if len(items) == 1 else "") + ")"

    first = [written([part.edges[n % len(part.edges)] for part in parts]) for n in range(3)] if parts else ["()"]
    kind = f"tuple[{', '.join(part.kind for part in parts)}]"
    return Values(kind, tuple(first), lambda dice: written([part.some(dice) for part in parts]))


def mappings(key: Values, value: Values, known: Sequence[str] = ()) -> Values:
    """Dictionaries; ``known``: keys that the code asks for."""

    def draw(dice: random.Random) -> str:
        keys = [repr(k) for k in known if dice.random() < 0.8] + [
            key.some(dice) for _ in range(dice.choice((0, 0, 1, 2, 3)))
        ]
        return "{" + ", ".join(f"{k}: {value.some(dice)}" for k in dict.fromkeys(keys)) + "}"

    full = [repr(k) for k in known] or list(key.edges[:2])
    edges = ["{" + ", ".join(f"{k}: {value.edges[n % len(value.edges)]}" for n, k in enumerate(full)) + "}", "{}"]
    return Values(f"dict[{key.kind}, {value.kind}]", tuple(edges), draw)


def made_by(call: str, inner: Values) -> Values:
    """What ``call``, as ``deque`` or ``defaultdict(int)``, makes of literals: ``deque([1, 2])``."""
    name, _, given = call.partition("(")
    given = given.removesuffix(")")

    def made(text: str) -> str:
        return f"{name}({', '.join(part for part in (given, '' if text in ('[]', '{}', 'set()') else text) if part)})"

    return Values(name, tuple(map(made, inner.edges)), lambda dice: made(inner.draw(dice)))


def either(*options: Values) -> Values:
    """One of several types."""
    if len(options) == 1:
        return options[0]
    longest = max(len(option.edges) for option in options)
    mixed = [option.edges[n] for n in range(longest) for option in options if n < len(option.edges)]
    kind = " | ".join(option.kind for option in options)
    return Values(kind, tuple(dict.fromkeys(mixed)), lambda dice: dice.choice(options).some(dice))


def objects(attributes: Sequence[tuple[str, Values]]) -> Values:
    """Plain objects with attributes."""

    def written(items: Sequence[str]) -> str:
        return (
            "SimpleNamespace(" + ", ".join(f"{name}={v}" for (name, _), v in zip(attributes, items, strict=True)) + ")"
        )

    first = [written([v.edges[n % len(v.edges)] for _, v in attributes]) for n in range(2)]
    return Values("object", tuple(first), lambda dice: written([v.some(dice) for _, v in attributes]))


def functions() -> Values:
    """Things that can be called."""
    return constant(
        "callable",
        "lambda *args, **kwargs: args[0] if args else None",
        "lambda *args: len(args)",
        "lambda *args: bool(args and args[0])",
        "str",
    )


def standard(words: Vocabulary) -> dict[str, Values]:
    """Types of the standard library by the name under which they are annotated."""
    text, whole = texts(words), integers(words)
    streams = [f"StringIO({edge})" for edge in text.edges[:6]] + ["StringIO('a b\\n\\nc,d\\n')"]
    paths = constant("Path", "Path('a/b.txt')", "Path('.')", "Path('/x/y.tar.gz')", "Path('name')")
    days = constant("date", "datetime.date(2024, 2, 29)", "datetime.date(1999, 12, 31)", "datetime.date(2023, 1, 1)")
    moments = constant(
        "datetime",
        "datetime.datetime(2024, 2, 29, 12, 30, 5)",
        "datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)",
        "datetime.datetime(2023, 12, 31, 23, 59, 59, 999999)",
    )
    return {
        "int": whole,
        "float": either(floats(words), whole),
        "complex": constant("complex", "0j", "1+2j", "-1j", "2.5"),
        "str": text,
        "LiteralString": text,
        "AnyStr": text,
        "bool": booleans(),
        "bytes": binary(words),
        "bytearray": constant("bytearray", "bytearray(b'')", "bytearray(b'abc')"),
        "None": constant("None", "None"),
        "Path": paths,
        "PurePath": paths,
        "PathLike": paths,
        "Decimal": constant("Decimal", "Decimal('0')", "Decimal('1.10')", "Decimal('-2.5')", "Decimal('1000000')"),
        "Fraction": constant("Fraction", "Fraction(1, 2)", "Fraction(0)", "Fraction(-7, 3)"),
        "date": days,
        "datetime": moments,
        "timedelta": constant(
            "timedelta", "timedelta(0)", "timedelta(days=1)", "timedelta(seconds=-90)", "timedelta(hours=5)"
        ),
        "time": constant("time", "datetime.time(0)", "datetime.time(12, 30, 5)"),
        "UUID": constant("UUID", "UUID(int=0)", "UUID(int=5)"),
        "Callable": functions(),
        "TextIO": Values("stream", tuple(streams), lambda dice: f"StringIO({text.draw(dice)})"),
        "BinaryIO": constant("stream", "BytesIO(b'')", "BytesIO(b'abc\\ndef')"),
        "Pattern": constant("pattern", "re.compile('a+')", "re.compile('')", "re.compile(r'(\\w+)-(\\d+)')"),
        "range": constant("range", "range(3)", "range(0)", "range(1, 10, 3)"),
        "slice": constant("slice", "slice(None)", "slice(1, 3)", "slice(None, None, -1)"),
        "Random": constant("Random", "random.Random(1)", "random.Random(2)", "random.Random(3)"),
        "Hashable": either(text, whole),
        "Number": either(whole, floats(words)),
    }
