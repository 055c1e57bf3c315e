"""How the project writes its tests, as far as tests that are made should look alike."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Form = Literal["functions", "classes", "unittest"]
AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef
_WIDTHS = (88, 100, 120)


@dataclass(frozen=True)
class Style:
    """``annotated``: tests say that they return None. ``tables``: rows of one test rather than many alike.
    ``documented``: tests have a docstring. ``quote`` and ``width``: for projects whose formatter says nothing.
    ``ending``: names of classes end with this, ``Tests``; else they begin with ``Test``."""

    annotated: bool = False
    tables: bool = True
    form: Form = "functions"
    documented: bool = False
    quote: str = '"'
    width: int = 88
    ending: str = ""


def read(sources: Iterable[str]) -> Style:
    """The style of test files; that of plain pytest where there are none."""
    texts: list[str] = []
    tests: list[AnyFunction] = []
    classes: dict[ast.ClassDef, list[AnyFunction]] = {}
    for source in sources:
        try:
            module = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        texts.append(source)
        tests += _tests(module.body)
        for holder in (n for n in module.body if isinstance(n, ast.ClassDef)):
            if own := _tests(holder.body):
                classes[holder] = own
    inside = [test for own in classes.values() for test in own]
    every = [*tests, *inside]
    if not every:
        return Style()
    form = _form(classes, len(tests))
    parametrized = any("parametrize" in ast.unparse(d) for test in every for d in test.decorator_list)
    return Style(
        annotated=2 * sum(isinstance(test.returns, ast.Constant) for test in every) > len(every),
        tables=form != "unittest" and (len(every) < 4 or parametrized),
        form=form,
        documented=2 * sum(ast.get_docstring(test) is not None for test in every) > len(every),
        quote="'" if sum(map(_quotes, texts)) < 0 else '"',
        width=_width(texts),
        ending=_ending([holder.name for holder in classes]),
    )


def _tests(body: Sequence[ast.stmt]) -> list[AnyFunction]:
    return [node for node in body if isinstance(node, AnyFunction) and node.name.startswith("test")]


def _form(classes: dict[ast.ClassDef, list[AnyFunction]], free: int) -> Form:
    """How most tests stand: free, in classes, or in those of unittest."""
    cases = [holder for holder in classes if any("TestCase" in ast.unparse(base) for base in holder.bases)]
    in_cases = sum(len(classes[holder]) for holder in cases)
    in_plain = sum(map(len, classes.values())) - in_cases
    most = max(free, in_cases, in_plain)
    return "functions" if most == free else "unittest" if most == in_cases else "classes"


def _quotes(source: str) -> int:
    """How many more texts have double quotes than single ones."""
    balance = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.STRING:
                text = token.string.lstrip("rRbBuUfF")
                if not text.startswith(('"""', "'''")):
                    balance += 1 if text.startswith('"') else -1
    except (tokenize.TokenError, SyntaxError):
        pass
    return balance


def _width(sources: Sequence[str]) -> int:
    """The usual width of lines that all but a few keep to."""
    lengths = sorted(len(line) for source in sources for line in source.splitlines())
    longest = lengths[int(len(lengths) * 0.99)] if lengths else 0
    return next((width for width in _WIDTHS if longest <= width), _WIDTHS[-1])


def _ending(names: Sequence[str]) -> str:
    """``Tests`` where classes are called ``PriceTests`` rather than ``TestPrice``."""
    endings = [match[0] for name in names if (match := re.search(r"(?:Tests?|TestCase)$", name))]
    return max(endings, key=endings.count) if 2 * len(endings) > len(names) else ""


def in_quotes(line: str, quote: str) -> str:
    """A line of code with its plain texts in these quotes, where nothing in them would have to be escaped."""
    other = "'" if quote == '"' else '"'
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line).readline))
    except (tokenize.TokenError, SyntaxError):
        return line
    for token in reversed(tokens):
        text = token.string
        plain = token.type == tokenize.STRING and text[0] == other and not text.startswith(other * 3)
        if plain and not {quote, "\\"} & set(text) and token.start[0] == token.end[0] == 1:
            line = f"{line[: token.start[1]]}{quote}{text[1:-1]}{quote}{line[token.end[1] :]}"
    return line
