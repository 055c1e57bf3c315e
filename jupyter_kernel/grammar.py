"""A Lark grammar for the Python of one cell: only names, attributes, columns and literals that exist.

A model that writes within it cannot invent a variable, a column, an attribute or a number, nor import, nor loop for
ever, nor assign to what the words do not name. One to three statements and an empty line end it. Spacing is the usual
one, which is what models have learnt.
"""

from __future__ import annotations

import builtins
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from famulus.jupyter_kernel import grammar_names as known
from famulus.jupyter_kernel.candidate import Want
from famulus.jupyter_kernel.schema import Schema, Variable

MOST_STRINGS, MOST_NAMES = 200, 120
LONGEST = 48
"""Characters of a string that the grammar allows; llguidance compiles long ones slowly."""

CALLED = ("callable", "class")

_SIZE = 60_000
"""Characters; the engine takes a little more."""


@dataclass(frozen=True)
class Vocabulary:
    """What may be said. ``attributes`` maps variables to what their class has; ``loop`` and ``pair`` are names for
    the variables of comprehensions, ``new`` those that the cell may bind, ``settable`` those that it may change."""

    variables: tuple[str, ...]
    callables: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]
    strings: tuple[str, ...]
    numbers: tuple[str, ...]
    loop: str
    pair: tuple[str, str]
    new: str
    must_bind: bool
    settable: tuple[str, ...]


def build(words: str, schema: Schema, want: Want) -> str:
    """The grammar for ``words``, "" if it would be too large."""
    text = render(vocabulary(words, schema, want))
    return text if len(text) <= _SIZE else ""


def vocabulary(words: str, schema: Schema, want: Want) -> Vocabulary:
    """What code for ``words`` may speak of."""
    variables = [v for v in schema.variables if v.name.isidentifier()][:MOST_NAMES]
    taken = {v.name for v in schema.variables} | set(schema.imports)
    loop = _free(("x", "item", "each", "x_"), taken)
    pair = (_free(("k", "key", "k_"), taken), _free(("v", "value", "v_"), taken))
    settable = tuple(v.name for v in variables if v.name in want.names or v.name == want.name) if want.changes else ()
    return Vocabulary(
        variables=tuple(v.name for v in variables if v.kind not in CALLED),
        callables=tuple(v.name for v in variables if v.kind in CALLED),
        attributes={v.name: attributes(v) for v in variables},
        strings=_strings(words, variables, want),
        numbers=tuple(dict.fromkeys([*(_number(n) for n in want.numbers), "0", "1", "2", "10", "100"])),
        loop=loop,
        pair=pair,
        new=want.name if want.name else _free(("result", "answer", "result_"), taken),
        must_bind=bool(want.name),
        settable=settable,
    )


def render(said: Vocabulary) -> str:
    """The grammar. Each set of names that are in scope has an expression language of its own: ``o`` of the cell, ``n``
    after the new name is bound, and of both the ones within comprehensions (``ox`` over one name, ``ok`` over two)."""
    lines = [*_statements(said), *_terminals(said)]
    for scope, names in {"o": (), "n": (said.new,)}.items():
        lines += _expressions(scope, names, said)
        lines += _expressions(f"{scope}x", (*names, said.loop), said)
        lines += _expressions(f"{scope}k", (*names, *said.pair), said)
    return "\n".join(lines) + "\n"


def _statements(said: Vocabulary) -> list[str]:
    binding = f'"{said.new} = "'
    first = [f"{binding} expr_o", f'{binding} expr_o "\\n" after ("\\n" after)?']
    if not said.must_bind:
        first += ["expr_o", 'expr_o "\\n" expr_o ("\\n" expr_o)?']
    lines = [f"after: expr_n | {binding} expr_n", "key: STRING | NUMBER"]
    if said.settable:
        first += ["change", 'change "\\n" expr_o']
        lines += [f'change: ({_choice(said.settable)}) ("[" key "]" | "." MEMBER)? " = " expr_o']
    return [f'start: ({" | ".join(first)}) "\\n\\n"', *lines]


def _terminals(said: Vocabulary) -> list[str]:
    sets: dict[str, Iterable[str]] = {
        "STRING": map(repr, said.strings),
        "NUMBER": said.numbers,
        "MEMBER": _members(said),
        "KEYWORD": known.KEYWORDS,
        "CALLABLE": (*said.callables, *known.BUILTINS),
        "OPERATOR": (f" {sign} " for sign in known.OPERATORS),
    }
    sets |= {f"MODULE_{module.upper()}": members for module, members in known.MODULES.items()}
    for kind, (names, members) in _by_attributes(said).items():
        sets |= {f"NAMES_{kind}": names} | ({f"MEMBERS_{kind}": members} if members else {})
    return [f"{name}: {_choice(texts)}" for name, texts in sets.items()]


def _expressions(scope: str, names: Sequence[str], said: Vocabulary) -> list[str]:
    """The rules of expressions where ``names`` are known besides the live ones."""
    outer = scope[0]
    atoms = []
    for kind, (_, members) in _by_attributes(said).items():
        atoms.append(f'NAMES_{kind} ("." MEMBERS_{kind} call_{scope}?)?' if members else f"NAMES_{kind}")
    atoms += [f"CALLABLE call_{scope}"]
    atoms += [f'"{module}." MODULE_{module.upper()} call_{scope}?' for module in known.MODULES]
    atoms += [f"({_choice(names)})"] if names else []
    atoms += ["STRING", f'"(" expr_{scope} ")"', f"list_{scope}"]
    k, v = said.pair
    one, two = f"simple_{outer}x", f"simple_{outer}k"
    return [
        f'expr_{scope}: simple_{scope} (" if " simple_{scope} " else " simple_{scope})?',
        f'simple_{scope}: "not "? operand_{scope} (OPERATOR operand_{scope})~0..3',
        f'operand_{scope}: ("-" | "~")? (atom_{scope} tail_{scope}~0..5 | NUMBER | "True" | "False" | "None")',
        f"atom_{scope}: {' | '.join(atoms)}",
        f'tail_{scope}: "." MEMBER call_{scope}? | "[" index_{scope} "]"',
        f'index_{scope}: expr_{scope} | expr_{scope} ", " expr_{scope} | NUMBER? ":" ("-"? NUMBER)? | "::-1"',
        f'call_{scope}: "()" | "(" arguments_{scope} ")"',
        f'arguments_{scope}: argument_{scope} (", " argument_{scope})~0..3 (", " KEYWORD "=" value_{scope})~0..2'
        f' | KEYWORD "=" value_{scope} (", " KEYWORD "=" value_{scope})~0..3 | each_{scope}',
        f"argument_{scope}: expr_{scope}",
        f'value_{scope}: expr_{scope} | "lambda {said.loop}: " simple_{outer}x',
        f'each_{scope}: {one} " for {said.loop} in " simple_{scope} (" if " {one})?'
        f' | {two} " for {k}, {v} in " simple_{scope} (" if " {two})?',
        f'list_{scope}: "[]" | "[" expr_{scope} (", " expr_{scope})~0..5 "]" | "[" each_{scope} "]"'
        f' | "{{" each_{scope} "}}" | "{{" pairs_{scope} "}}"'
        f' | "(" expr_{scope} (", " expr_{scope})~1..3 ")"',
        f'pairs_{scope}: {one} ": " {one} " for {said.loop} in " simple_{scope} (" if " {one})?'
        f' | {two} ": " {two} " for {k}, {v} in " simple_{scope} (" if " {two})?'
        f' | expr_{scope} ": " expr_{scope} (", " expr_{scope} ": " expr_{scope})~0..5',
    ]


def _by_attributes(said: Vocabulary) -> dict[str, tuple[list[str], tuple[str, ...]]]:
    """Variables of one class share a rule: ``{"0": (names, attributes)}``."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in said.variables:
        groups.setdefault(said.attributes[name], []).append(name)
    return {str(number): (names, attributes) for number, (attributes, names) in enumerate(groups.items())}


def _members(said: Vocabulary) -> list[str]:
    """What may stand after a dot behind a call or a subscript, whose class is not known."""
    union = {member for members in said.attributes.values() for member in members}
    return sorted(
        union
        | {member for cls in (str, list, dict, set) for member in dir(cls) if member[0] != "_"}
        | set(known.MEMBERS)
    )


def attributes(variable: Variable) -> tuple[str, ...]:
    """The public attributes of the variable's class: the class is asked, never the object."""
    module, _, name = variable.type.rpartition(".")
    found = vars(builtins).get(name) if module == "builtins" else _of_module(module).get(name)
    return tuple(a for a in _public(found) if a not in known.REFUSED) if isinstance(found, type) else ()


def of_class(name: str) -> list[str]:
    """The public attributes of a class of Python's own."""
    found = vars(builtins).get(name)
    return _public(found) if isinstance(found, type) else []


def of_module(name: str) -> list[str]:
    """The public names of a module that is loaded."""
    return sorted(member for member in _of_module(name) if member[:1] != "_")


def _public(cls: type) -> list[str]:
    every = {attribute for base in type.__dict__["__mro__"].__get__(cls) for attribute in vars(base)}
    return sorted(a for a in every if isinstance(a, str) and a.isidentifier() and not a.startswith("_"))


def _of_module(name: str) -> Mapping[str, object]:
    loaded = sys.modules.get(name)
    return vars(loaded) if loaded is not None else {}


def _strings(words: str, variables: Sequence[Variable], want: Want) -> tuple[str, ...]:
    """Texts that code may hold: what the words quote and say, names of columns, what libraries expect."""
    columns = [c.name for v in variables for c in v.columns if not c.label]
    plain = [word.strip(".,;:!?()[]\"'") for word in words.split()]
    said = [*want.quoted, *want.paths, *columns, *plain]
    fit = [text for text in said if text and len(text) <= LONGEST and text.isprintable()]
    return tuple(dict.fromkeys([*fit[:MOST_STRINGS], *known.STRINGS]))


def _number(said: str) -> str:
    return f"{float(said[:-1]) / 100:g}" if said.endswith("%") else said.lstrip("+-") or "0"


def _free(wanted: Iterable[str], taken: set[str]) -> str:
    names = list(wanted)
    return next((name for name in names if name not in taken), f"{names[-1]}_new")


def _choice(texts: Iterable[str]) -> str:
    """Alternatives in Lark form."""
    return " | ".join(json.dumps(text, ensure_ascii=False) for text in dict.fromkeys(texts))
