"""The sentences of rule 1."""

from __future__ import annotations

from dataclasses import replace

from famulus.lsp_server.review.finding import Place
from famulus.lsp_server.review.index.binding import Trouble, spelled
from famulus.lsp_server.review.index.changes import Changes
from famulus.lsp_server.review.index.facts import Parameter, Reference, Shape
from famulus.lsp_server.review.index.signatures import Signature
from famulus.lsp_server.review.index.values import Module, Symbol, Use

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def called(reference: Reference) -> str:
    """The callee as it is written, without arguments of calls in it."""
    return written(reference.path)


def written(path: str) -> str:
    """A path of the index as it is written in code, without arguments of calls in it."""
    return path.partition("!")[0].replace("<>", "[]").replace("^", "").replace("@", "")


def counted(number: int, noun: str) -> str:
    """``two arguments``."""
    word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{word} {noun}{'' if number == 1 else 's'}"


def consequence(trouble: Trouble) -> str:
    """What is wrong with a call, to stand behind "calls f()"."""
    if trouble.kind == "unknown-keyword":
        return f"with `{trouble.name}`, which it no longer takes"
    if trouble.kind == "missing-argument":
        return f"without `{trouble.name}`, which it now needs"
    if trouble.kind == "positional-only":
        return f"with `{trouble.name}` by name, which it now takes by position only"
    if trouble.kind == "given-twice":
        return f"in a way that now gives `{trouble.name}` twice, by position and by name"
    takes = counted(trouble.taken, "argument") if trouble.taken else "none"
    return f"with {counted(trouble.given, 'positional argument')}, but it now takes {takes} by position"


def shown(signature: Signature) -> str:
    """The name by which a person knows what is called."""
    function = signature.function
    owner = function.owner
    if function.name in ("__init__", "__new__") and owner is not None:
        return owner.name
    return function.qualname if owner is not None and "<locals>" not in function.qualname else function.name


def signature(found: Signature) -> str:
    """``price(net, rate=0.2)``."""
    return f"{shown(found)}({spelled(found.parameters)})"


def arguments(shape: Shape) -> str:
    """The arguments of a call with ``...`` for every value."""
    words = ["..."] * shape.positional + (["*..."] if shape.star else [])
    words += [f"{name}=..." for name in shape.keywords] + (["**..."] if shape.double_star else [])
    return ", ".join(words)


def proof(now: Signature, shape: Shape, trouble: Trouble) -> str:
    """What ``bind`` says."""
    reasons = {
        "unknown-keyword": f"got an unexpected keyword argument '{trouble.name}'",
        "missing-argument": f"missing a required argument: '{trouble.name}'",
        "too-many-arguments": "too many positional arguments",
        "positional-only": f"'{trouble.name}' is positional only, but was passed as a keyword",
        "given-twice": f"multiple values for argument '{trouble.name}'",
    }
    return f"{signature(now)} does not take ({arguments(shape)}): {reasons[trouble.kind]}"


def proof_code(now: Signature, shape: Shape) -> str:
    """Source that raises the same TypeError; empty if the call has stars, whose content is not known."""
    if shape.star or shape.double_star:
        return ""
    plain = tuple(Parameter(p.name, p.kind, None if p.default is None else "...") for p in now.parameters)
    name = shown(now).rpartition(".")[2]
    return f"def {name}({spelled(plain)}): ...\n\n{name}({arguments(shape)})  # TypeError\n"


def untouched(changes: Changes, use: Use) -> bool:
    """Whether the change leaves the lines of a reference as they are."""
    file = changes.change.file(use.module.path)
    lines = range(use.reference.line, use.reference.end_line + 1)
    return file is None or file.changed_new_lines.isdisjoint(lines)


def unchanged(changes: Changes, symbol: Symbol) -> bool:
    """Whether a definition of the new side reads word for word as it did."""
    old = changes.old_symbol(symbol)
    sides = [(changes.old, old), (changes.new, symbol)]
    texts = [p.lines(s.module.path)[s.definition.start - 1 : s.definition.end_line] for p, s in sides if s is not None]
    return len(texts) == 2 and texts[0] == texts[1]


def old_place(changes: Changes, module: Module, place: Place) -> Place | None:
    """The same place on the old side, if its line stood there unchanged."""
    file = changes.change.file(module.path)
    if file is None:
        return replace(place, side="old")
    line = file.old_line(place.line)
    if line is None or file.old_path is None:
        return None
    last = None if place.end_line is None else place.end_line + line - place.line
    return replace(place, side="old", path=file.old_path, line=line, end_line=last, cell="")
