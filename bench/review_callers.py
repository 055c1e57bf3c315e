"""Callers of what a break changes, written in many forms; each line is known to break or not by how it was made.

Whether arguments fit is asked of Python's own ``Signature.bind``. Each form has a module of its own in ``app/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from famulus.bench.review_targets import Break

GONE = ("function removed", "function renamed", "base class swapped")
_RESULTS = ("tuple arity", "list → generator", "sync → async")
_DECORATOR = """import functools


def logged(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        print(function.__name__)
        return function(*args, **kwargs)

    return inner

"""


@dataclass(frozen=True)
class Site:
    """A use. ``lines``: where a finding may stand, one of which is enough; ``breaks``: whether one should."""

    kind: str
    form: str
    path: str
    lines: frozenset[int]
    breaks: bool
    elsewhere: frozenset[tuple[str, int]] = frozenset()
    """Other places that would do: the facade that imports the name."""
    text: str = ""
    function: str = ""
    """Name of the function in which it stands, or of what stands for it in a class."""


@dataclass(frozen=True)
class Form:
    """How a use is written. ``head``: lines of the module; ``callee``: how the function is called; ``around``: lines
    in which the use stands, at ``{}``; ``fits``: whether it can be written for a break."""

    name: str
    head: str
    callee: str
    around: str = "def {name}(thing, *more, a0, a1, a2, a3, a4, a5, a6, a7, options):\n    {}"
    fits: Callable[[Break], bool] = lambda broken: True
    call: str = "{callee}({arguments})"
    first: str = ""
    """An argument before the others."""


def _exported(broken: Break) -> bool:
    return broken.target.exported


def _gone(broken: Break) -> bool:
    return broken.kind in GONE


def _called(broken: Break) -> bool:
    return broken.kind not in GONE + _RESULTS and not _property(broken)


def _property(broken: Break) -> bool:
    return broken.kind == "property → method"


def _no_property(broken: Break) -> bool:
    return not _property(broken)


_ARGS = "*more, a0, a1, a2, a3, a4, a5, a6, a7, options"

FUNCTION = (
    Form("from-import", "from {module} import {name}", "{name}"),
    Form("aliased import", "from {module} import {name} as given", "given"),
    Form("module", "import {module}", "{module}.{name}"),
    Form("aliased module", "import {module} as short", "short.{name}"),
    Form("star import", "from {module} import *", "{name}", fits=_exported),
    Form("re-export", "from app.{slug}.facade import {name}", "{name}"),
    Form("import inside", "", "{name}", "def {{name}}({args}):\n    from {module} import {name}\n\n    {{}}"),
    Form("other name", "import {module}", "call", "def {{name}}({args}):\n    call = {module}.{name}\n    {{}}"),
    Form("decorated", _DECORATOR + "from {module} import {name}\n",
 "{name}", "@logged\ndef {{name}}({args}):\n    {{}}"),
    Form(
        "comprehension",
        "from {module} import {name}",
        "{name}",
        "def {{name}}({args}):\n    return [{{}} for _ in more]",
        fits=_called,
    ),
    Form(
        "partial",
        "import functools\nfrom {module} import {name}",
        "{name}",
        fits=_called,
        call="functools.partial({callee}, {arguments})()",
    ),
    Form("**kwargs", "from {module} import {name}", "{name}", fits=_called, call="{callee}(**options)"),
    Form("string", "from unittest import mock", "mock.patch('{module}.{name}')", fits=_gone, call="{callee}"),
    Form("getattr", "import {module}", "getattr({module}, '{name}')", fits=_gone),
)  # fmt: skip

_CLASS = "from {module} import {owner}"
_MINE = "class Mine_{{name}}({owner}):\n    def {{name}}_it(self, {args}):\n        {{}}"

METHOD = (
    Form("instance", _CLASS, "made.{name}", "def {{name}}({args}):\n    made = {owner}(*more)\n    {{}}"),
    Form("annotated", _CLASS, "thing.{name}", "def {{name}}(thing: {owner}, {args}):\n    {{}}"),
    Form(
        "maybe None",
        _CLASS,
        "thing.{name}",
        "def {{name}}(thing: '{owner} | None', {args}):\n    if thing is None:\n        return None\n    {{}}",
    ),
    Form("self", _CLASS + "\n", "self.{name}", _MINE),
    Form("super()", _CLASS + "\n", "super().{name}", _MINE),
    Form(
        "subclass",
        _CLASS + "\n\nclass Mine({owner}):\n    pass\n",
        "Mine(*more).{name}",
        "def {{name}}({args}):\n    {{}}",
    ),
    Form(
        "attribute",
        _CLASS + "\n\nclass Holder:\n    def __init__(self, *more):\n        self.held = {owner}(*more)\n",
        "self.held.{name}",
        "class Holder_{{name}}(Holder):\n    def go(self, {args}):\n        {{}}",
    ),
    Form(
        "returned",
        _CLASS + "\n\ndef make(*more) -> {owner}:\n    return {owner}(*more)\n",
        "make(*more).{name}",
        "def {{name}}({args}):\n    {{}}",
    ),
    Form("aliased import", _CLASS + " as Other", "Other(*more).{name}"),
    Form("module", "import {module}", "{module}.{owner}(*more).{name}"),
    Form("star import", "from {module} import *", "{owner}(*more).{name}", fits=_exported),
    Form("re-export", "from app.{slug}.facade import {owner}", "{owner}(*more).{name}"),
    Form(
        "element",
        _CLASS,
        "one.{name}",
        "def {{name}}(things: list[{owner}], {args}):\n    for one in things:\n        {{}}",
    ),
    Form("class", _CLASS, "{owner}.{name}", fits=_no_property, first="thing"),
    Form(
        "other name",
        _CLASS,
        "call",
        "def {{name}}(thing: {owner}, {args}):\n    call = thing.{name}\n    {{}}",
        fits=_no_property,
    ),
    Form(
        "partial",
        "import functools\n" + _CLASS,
        "thing.{name}",
        "def {{name}}(thing: {owner}, {args}):\n    {{}}",
        fits=_called,
        call="functools.partial({callee}, {arguments})()",
    ),
    Form(
        "**kwargs",
        _CLASS,
        "thing.{name}",
        "def {{name}}(thing: {owner}, {args}):\n    {{}}",
        fits=_called,
        call="{callee}(**options)",
    ),
    Form("string", "from unittest import mock", "mock.patch('{module}.{owner}.{name}')", fits=_gone, call="{callee}"),
)  # fmt: skip


def callers(broken: Break) -> tuple[dict[str, bytes], list[Site]]:
    """Modules that use what a break changes, and what shall be found in them."""
    target = broken.target
    slug = "".join(c if c.isalnum() else "_" for c in broken.kind)
    words = {
        "module": target.module,
        "name": target.node.name,
        "owner": target.owner.name if target.owner else "",
        "slug": slug,
        "args": _ARGS,
    }
    imported = words["owner"] or words["name"]
    facade = f"app/{slug}/facade.py"
    files = {
        f"app/{slug}/__init__.py": b"",
        facade: f"from {target.module} import {imported}\n\n__all__ = ['{imported}']\n".encode(),
    }
    sites: list[Site] = []
    for form in METHOD if target.owner else FUNCTION:
        if form.fits(broken):
            path = f"app/{slug}/{''.join(c if c.isalnum() else '_' for c in form.name)}.py"
            text, found = _module(broken, form, words, path, facade)
            files[path] = text.encode()
            sites += found
    return files, sites


def _module(broken: Break, form: Form, words: dict[str, str], path: str, facade: str) -> tuple[str, list[Site]]:
    text = form.head.format(**words) + "\n"
    sites = []
    for breaks, name, statements in _statements(broken, form, words):
        indent = next((line for line in form.around.splitlines() if "{}" in line or "{{}}" in line), "")
        space = "\n" + " " * (len(indent) - len(indent.lstrip()))
        around = form.around if "{{" in form.around else form.around.replace("{", "{{").replace("}", "}}")
        begin = around.format(**words).replace("{name}", name)
        before = text + "\n\n" + begin.partition("{}")[0]
        text += "\n\n" + begin.replace("{}", space.join(statements)) + "\n"
        first = before.count("\n") + 1
        lines = set(range(first, first + len(statements)))
        if broken.kind in GONE or form.name == "other name":
            lines |= {n for n, line in enumerate(text.splitlines(), 1) if _imports(line, words, form)}
        elsewhere = frozenset({(facade, 1)}) if form.name == "re-export" else frozenset()
        shown = statements[0]
        sites.append(Site(broken.kind, form.name, path, frozenset(lines), breaks, elsewhere, shown, name))
    return text, sites


def _imports(line: str, words: dict[str, str], form: Form) -> bool:
    if form.name == "other name" and line.strip().startswith("call = "):
        return True
    return not words["owner"] and line.strip().startswith("from ") and words["name"] in line.split()


def _statements(broken: Break, form: Form, words: dict[str, str]) -> Iterator[tuple[bool, str, list[str]]]:
    """Uses that break and uses that do not, as statements."""
    callee = form.callee.format(**words)
    plain = form.name in ("comprehension",)

    def call(arguments: str) -> str:
        given = ", ".join(part for part in (form.first, arguments) if part)
        written = form.call.replace("{callee}", callee).replace("{arguments}", given)
        return written.replace(", )", ")")

    def returned(expression: str) -> list[str]:
        return [expression if plain else f"return {expression}"]

    if form.name == "**kwargs":
        yield not _possible(broken), "unknown", returned(call(""))
        return
    some = _arguments(broken, breaking=None)[:1]
    if _property(broken):
        yield True, "first", [f"if {callee} == 1:", "    return 1", "return 0"]
    elif broken.kind in GONE:
        yield True, "first", returned(call(some[0]))
    elif broken.kind == "tuple arity":
        names = ", ".join(f"v{n}" for n in range(broken.arity))
        yield True, "first", [f"{names} = {call(some[0])}", "return v0"]
        yield False, "control", [f"whole = {call(some[0])}", "return whole"]
    elif broken.kind == "list → generator":
        yield True, "first", returned(f"len({call(some[0])})")
        yield True, "second", [f"items = {call(some[0])}", "return items[0]"]
        yield False, "control", [f"for item in {call(some[0])}:", "    print(item)"]
    elif broken.kind == "sync → async":
        yield True, "first", [f"got = {call(some[0])}", "print(got.real)"]
        yield False, "control", returned(callee)
    else:
        for name, arguments in zip(("first", "second"), _arguments(broken, breaking=True), strict=False):
            yield True, name, returned(call(arguments))
        for name, arguments in zip(("control", "other"), _arguments(broken, breaking=False), strict=False):
            yield False, name, returned(call(arguments))


def _arguments(broken: Break, *, breaking: bool | None) -> list[str]:
    """Arguments that fitted before and do not fit now, or fit as before; None: that fitted before."""
    found = []
    parameters = list(broken.old.parameters.values())
    names = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    required = sum(p.default is p.empty for p in parameters if p.kind is not p.KEYWORD_ONLY)
    only = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    for count in range(required, len(names) + 1):
        for positional in dict.fromkeys((count, min(required, count), 0)):
            keywords = [*names[positional:count], *only]
            if breaking is None or _breaks(broken, positional, keywords) is breaking:
                found.append((positional, keywords))
    if broken.kind == "default changed" and not breaking:
        found = [(p, k) for p, k in found if p == len(names) or broken.parameter in k]
    unique = dict.fromkeys(_written(positional, keywords) for positional, keywords in found)
    return list(unique)


def _possible(broken: Break) -> bool:
    """Whether there are keywords that would fit: then nobody can tell."""
    parameters = broken.new.parameters.values() if broken.new is not None else ()
    return not any(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters)


def _written(positional: int, keywords: Sequence[str]) -> str:
    values = [f"a{n % 8}" for n in range(positional)]
    return ", ".join([*values, *(f"{name}=a{(positional + n) % 8}" for n, name in enumerate(keywords))])


def _breaks(broken: Break, positional: int, keywords: Sequence[str]) -> bool:
    args, kwargs = list(range(positional)), dict.fromkeys(keywords, -1)
    was = broken.old.bind(*args, **kwargs).arguments
    if broken.kind == "default changed":
        return broken.parameter not in was
    assert broken.new is not None
    try:
        now = broken.new.bind(*args, **kwargs).arguments
    except TypeError:
        return True
    return broken.kind != "parameter renamed" and dict(was) != dict(now)
