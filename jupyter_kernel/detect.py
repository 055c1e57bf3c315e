"""Is a cell Python or plain words? What parses is Python; the rest is weighed by signs that can be read in a table."""

from __future__ import annotations

import ast
import builtins
import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from keyword import iskeyword
from textwrap import dedent
from typing import Literal

from famulus.jupyter_kernel.detect_features import ASSIGNMENT, features
from famulus.jupyter_kernel.detect_repairs import parse, parses, repairs
from famulus.jupyter_kernel.detect_shell import automagic, help_target, plain_python, without_prompts
from famulus.jupyter_kernel.detect_tokens import triple_quotes
from famulus.jupyter_kernel.detect_words import CHINESE

Kind = Literal["python", "words", "unsure"]

WEIGHTS = {
    "Chinese": 4.4,
    "any pair": 3.6,
    "pairs in the first line": 2.3,
    "share of common words": 2.0,
    "ends as a sentence": 1.6,
    "opens with a question": 1.6,
    "opens with a verb": 1.6,
    "Chinese words of request": 1.4,
    "files": 1.3,
    "announces code": 1.2,
    "asks and ends with a question mark": 0.8,
    "names in the namespace": -0.5,
    "opens with a slip of a keyword": -0.6,
    "slips of keywords": -0.8,
    "first line has the shape of a statement": -1.3,
    "opens with a keyword": -1.5,
    "two words alone": -1.6,
    "indented lines": -2.1,
    "one sign from Python": -2.2,
    "print and one more": -2.7,
    "brackets left open": -2.8,
    "triple quotes": -3.4,
    "lines with the shape of statements": -3.6,
    "wide gaps": -3.7,
    "operators": -4.1,
    "share of operators": -4.3,
    "names with digits, underscores, dots, calls": -4.3,
    "quotes left open": -5.3,
    "a sentence above code": -5.8,
    "opens with an assignment": -6.8,
    "one slip from Python": -7.3,
}
"""What each sign adds to the natural-log odds that a cell is words: logistic regression with a ridge of 0.5 over the
instructions of ``tests/jupyter_kernel/data/instructions.txt`` (weighed six times, with and without bound names) and
12,000 broken cells, drawn as in ``test_detect_cells`` from the files that its tests do not read."""

BIAS = -0.6
WORDS = 1.0
PYTHON = 0.0
"""Above the one a cell is words, below the other it is Python, between them nobody knows."""

_ASK = re.compile(r"\s*(?:#!ask|%%ask|%ask)(?![\w?])[ \t:：]*")
_PY = re.compile(r"\s*#!py(?!\w)")
_LARGE = 8000
_STATEMENT = re.compile(r"\s*(?:assert\s[^,]*[=<>]|\.[^\W\d]\w*\()")
_CALLED = re.compile(r"\s*[^\W\d][\w.]*(?:\(.*\)|\[.*\])\s")
_QUERY = re.compile(r"=\s*(?:select|insert|update|delete|create|with)\s", re.IGNORECASE)
_TYPESET_TRIPLE = re.compile("[“”]{3}|[‘’]{3}")
_WIDE = str.maketrans("（），：＝“”‘’；", "(),:=\"\"'';")
_BARE = (ast.Name, ast.Attribute, ast.BinOp, ast.Compare, ast.Subscript, ast.Constant, ast.Tuple, ast.UnaryOp)
_BARE_PARTS = (*_BARE, ast.Slice, ast.operator, ast.cmpop, ast.unaryop, ast.expr_context)


@dataclass(frozen=True)
class Reading:
    """What a cell is taken for. ``text`` is the cell as it is, for words without its mark and the space around it;
    ``reason`` one short sentence for the user."""

    kind: Kind
    text: str
    reason: str


def read(code: str, names: Container[str], *, magics: Container[str]) -> Reading:
    """Tells plain words from Python, and from Python with a mistake in it, which must stay a SyntaxError.

    ``names`` are bound in the user's namespace, ``magics`` the line magics by name without ``%``. Marks force a
    reading: ``#!ask``, ``%%ask`` and ``%ask`` words, ``#!py`` Python. Works on any text and raises nothing.
    """
    if mark := _ASK.match(code):
        return Reading("words", code[mark.end() :].strip(), f"It is marked {mark[0].strip(' :：')} as words.")
    kind, reason = _read(code, names, magics)
    return Reading(kind, code if kind == "python" else code.strip(), reason)


def is_complete(
    code: str, names: Container[str], *, magics: Container[str]
) -> Literal["complete", "incomplete"] | None:
    """Whether a console may send the cell when Enter is pressed; None where IPython's rule for Python holds.

    Words are complete, and never invalid; a mark with nothing behind it waits for its words.
    """
    reading = read(code, names, magics=magics)
    if reading.kind == "python":
        return None
    return "complete" if reading.text else "incomplete"


def _read(code: str, names: Container[str], magics: Container[str]) -> tuple[Kind, str]:
    if _PY.match(code):
        return "python", "It is marked #!py as Python."
    lines = [line for line in code.split("\n", 200) if line.strip()]
    if not lines:
        return "python", "It is empty."
    if lines[0].lstrip()[0] in "%!?;,/":
        return "python", "It starts with a sign of IPython."
    if len(lines) == 1 and len(lines[0]) < _LARGE and (command := _command(lines[0], names, magics)):
        return command
    signs = features(code, names) if len(code) > _LARGE else {}
    if signs and _score(signs) < PYTHON:  # a large cell takes long to parse, and nothing hangs on it
        return "python", "It has the shape of code."
    tree = parse(code)
    if tree is None and lines[0][0] in " \t":
        tree = parse(dedent(code))
    if tree is not None:
        return _parsed(tree, names)
    if (session := without_prompts(code)) is not None:
        return "python", "It parses as Python." if parses(session) else "It is a pasted session of Python."
    plain = plain_python(code) if re.search("[%!?]", code) else None
    if plain is not None and parses(dedent(plain)):
        return "python", "It is Python with lines of IPython."
    return _weigh(code, signs or features(code, names), names)


def _command(line: str, names: Container[str], magics: Container[str]) -> tuple[Kind, str] | None:
    """A help line, or a magic without ``%`` whose arguments have its shape."""
    target = help_target(line)
    if target is not None:
        if target.isidentifier() and not target.isascii() and not _bound(target, names):
            return "words", f"{target} is no name of this notebook."
        return "python", f"It asks IPython for help on {target}."
    magic = automagic(line, names, magics)
    return ("python", f"It is the magic %{magic} with arguments of its kind.") if magic else None


def _parsed(tree: ast.Module, names: Container[str]) -> tuple[Kind, str]:
    """Python, unless it is a name in letters beyond ASCII that nobody has bound, or a few of them in a row."""
    python: tuple[Kind, str] = "python", "It parses as Python."
    if not 0 < len(tree.body) < 20:
        return python
    values = [part.value for part in tree.body if isinstance(part, ast.Expr) and isinstance(part.value, _BARE)]
    if len(values) < len(tree.body):
        return python
    nodes = [node for value in values for node in ast.walk(value)]
    loose = [n.id for n in nodes if isinstance(n, ast.Name) and not n.id.isascii() and not _bound(n.id, names)]
    if not loose or not all(isinstance(node, _BARE_PARTS) for node in nodes):
        return python
    if all(isinstance(value, ast.Name) for value in values) or any(CHINESE.search(name) for name in loose):
        return "words", f"It would parse, but {loose[0]} is no name of this notebook."
    return python


def _bound(name: str, names: Container[str]) -> bool:
    name = unicodedata.normalize("NFKC", name)
    return name in names or hasattr(builtins, name)


def _weigh(code: str, signs: dict[str, float], names: Container[str]) -> tuple[Kind, str]:
    mistake: tuple[Kind, str] = "python", "It is Python with a mistake: it has the shape of code."
    score = _score(signs) if signs else PYTHON
    if score <= PYTHON or triple_quotes(code) % 2 or _TYPESET_TRIPLE.search(code):
        return mistake
    score += sum(WEIGHTS[name] * value for name, value in repairs(code, names).items())
    if score <= PYTHON or _typed_wide(code):
        return mistake
    first = next((line for line in code.split("\n") if line.strip() and not line.lstrip().startswith("#")), "")[:400]
    if signs["quotes left open"] and (signs["operators"] or first.lstrip()[0] in "'\""):
        return mistake
    if ASSIGNMENT.match(first) or _STATEMENT.match(first):
        if _QUERY.search(first):
            return "python", "It is Python with a mistake: it binds a name."
        return "unsure", "It binds a name as Python does, but reads like a sentence."
    if _CALLED.match(first):
        return "unsure", "It opens with Python and goes on like a sentence: a request, or a comment without its #."
    if signs["a sentence above code"]:
        return "unsure", "A sentence stands above lines of Python: a request, or a comment without its #."
    opening = first.split()
    if score < WORDS or (iskeyword(opening[0]) and len(opening) < 4 and not signs["ends as a sentence"]):
        return "unsure", "It does not parse, and could be a short request or Python with a mistake."
    return "words", "It does not parse, and it reads like a sentence."


def _score(signs: dict[str, float]) -> float:
    """The natural-log odds that the cell is words."""
    return BIAS + sum(WEIGHTS[name] * value for name, value in signs.items())


def _typed_wide(code: str) -> bool:
    """Whether it is Python once the brackets and commas of a Chinese keyboard are plain."""
    tree = parse(code.translate(_WIDE)) if len(code) < 2000 and not code.isascii() else None
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Assign | ast.Import | ast.ImportFrom | ast.FunctionDef):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func).isascii():
            return True
    return False
