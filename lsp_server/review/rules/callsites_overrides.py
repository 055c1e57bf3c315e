"""Rule 1, overriding methods that no longer take what the method that they override takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from famulus.lsp_server.review.finding import Finding, Grade, Proof, Related
from famulus.lsp_server.review.index.binding import Trouble, bind, spelled, without_first
from famulus.lsp_server.review.index.changes import Changes, Pair, same_parameters
from famulus.lsp_server.review.index.facts import KEYWORD_ONLY, POSITIONAL, POSITIONAL_ONLY, Parameter, Shape
from famulus.lsp_server.review.index.values import Symbol

Left = Callable[[Symbol], tuple[Parameter, ...]]
_BUILDING = ("__init__", "__new__", "__init_subclass__", "__class_getitem__", "__post_init__")


def check(changes: Changes) -> Iterator[Finding]:
    """Overrides of changed methods that fitted the old one. Of several, the nearest above is told."""
    pairs: dict[Symbol, Pair] = {}
    for pair in changes.pairs:
        owner = pair.new.owner
        functions = pair.old.definition.kind == pair.new.definition.kind == "function"
        if owner is None or not functions or pair.new.name in _BUILDING or pair.new.name.startswith("__"):
            continue
        if not same_parameters(pair.old.definition.parameters, pair.new.definition.parameters):
            pairs[pair.new] = pair
    classes = changes.new.resolver.classes
    for base, pair in pairs.items():
        for child in classes.subclasses(base.owner) if base.owner is not None else ():
            override = child.module.by_qualname.get(f"{child.qualname}.{base.name}")
            if override is None or override.definition.kind != "function" or _adapted(changes, override):
                continue
            if next((m for m in classes.members(child, base.name) if m is not override and m in pairs), None) is base:
                yield from _override(changes, pair, override)


def _adapted(changes: Changes, override: Symbol) -> bool:
    """Whether the change also gives the override other parameters than it had."""
    before = changes.old_symbol(override)
    return before is not None and not same_parameters(before.definition.parameters, override.definition.parameters)


def orphans(changes: Changes) -> Iterator[Finding]:
    """Methods that overrode one which now has another name: nobody calls them under the old one."""
    for old in changes.removed:
        now = changes.successor(old) if old.owner is not None and old.definition.kind == "function" else None
        owner = now.owner if now is not None else None
        if now is None or owner is None or now.name == old.name or old.name.startswith("__"):
            continue
        classes = changes.new.resolver.classes
        for child in classes.subclasses(owner):
            own = child.module.by_qualname.get(f"{child.qualname}.{old.name}")
            found = list(classes.members(child, old.name))
            if own is None or found != [own] or changes.old_symbol(own) is None or not _same(changes, own):
                continue
            if next(classes.members(child, now.name), None) is not now:
                continue
            place = changes.new.place(own.module, own.definition)
            yield Finding(
                rule="call-site/orphan",
                message=f"{place} {own.qualname}() overrides nothing any more: "
                f"{old.qualname}() is now called `{now.name}`.",
                grade=Grade.PROVED,
                place=place,
                key=f"{own.qualname} overrode {old.qualname}",
                proof=Proof(kind="comparison", text=f"{old.qualname} is now {now.qualname}", data={"now": now.dotted}),
                related=(
                    Related(place=changes.new.place(now.module, now.definition), message="It is called so here."),
                ),
                reach=1,
            )


def _same(changes: Changes, override: Symbol) -> bool:
    """Whether the override was there before, under the same class."""
    before = changes.old_module(override.module)
    return before is not None and override.qualname in before.by_qualname


def _override(changes: Changes, pair: Pair, override: Symbol) -> Iterator[Finding]:
    signatures = changes.new.signatures
    kinds = {changes.new.resolver.classes.kind(s) for s in (pair.new, override)}
    if len(kinds) != 1 or kinds == {"property"}:
        return
    if not all(s.definition.passes or signatures._function(s) for s in (pair.new, override)):
        return
    static = kinds == {"staticmethod"}

    def left(symbol: Symbol) -> tuple[Parameter, ...]:
        return symbol.definition.parameters if static else without_first(symbol.definition.parameters)

    before = changes.old_symbol(override)
    own_before = left(before) if before is not None and before.definition.kind == "function" else left(override)
    if any(bind(own_before, shape) is not None for shape in calls(left(pair.old))):
        return
    for shape in calls(left(pair.new)):
        trouble = bind(left(override), shape)
        if trouble is not None:
            yield _finding(changes, pair, override, trouble, left)
            return


def calls(parameters: tuple[Parameter, ...]) -> list[Shape]:
    """The calls that a list of parameters promises: with least arguments, and with all, by position and by name."""
    by_position = [p for p in parameters if p.kind in (POSITIONAL_ONLY, POSITIONAL)]
    needed_names = tuple(p.name for p in parameters if p.kind == KEYWORD_ONLY and p.needed)
    names = tuple(p.name for p in parameters if p.kind == KEYWORD_ONLY)
    only = sum(p.kind == POSITIONAL_ONLY for p in parameters)
    return [
        Shape(sum(p.needed for p in by_position), needed_names),
        Shape(len(by_position), names),
        Shape(only, tuple(p.name for p in by_position[only:]) + names),
    ]


def _finding(changes: Changes, pair: Pair, override: Symbol, trouble: Trouble, left: Left) -> Finding:
    place = changes.new.place(override.module, override.definition)
    reasons = {
        "unknown-keyword": f"does not take `{trouble.name}`",
        "missing-argument": f"still needs `{trouble.name}`",
        "too-many-arguments": "takes too few arguments by position",
        "positional-only": f"takes `{trouble.name}` by position only",
        "given-twice": f"takes `{trouble.name}` at another place",
    }
    base = pair.new
    return Finding(
        rule="call-site/override",
        message=f"{place} {override.qualname}() {reasons[trouble.kind]}, unlike {base.qualname}(), which it overrides.",
        grade=Grade.PROVED,
        place=place,
        key=f"{override.qualname} overrides {base.qualname}: {trouble.kind} {trouble.name}",
        proof=Proof(
            kind="bind",
            text=f"{base.qualname}({spelled(left(base))}) is overridden by "
            f"{override.qualname}({spelled(left(override))})",
            data={
                "old": spelled(left(pair.old)),
                "new": spelled(left(base)),
                "trouble": trouble.kind,
                "name": trouble.name,
            },
        ),
        related=(
            Related(place=changes.new.place(base.module, base.definition), message=f"{base.qualname}() changed here."),
        ),
        reach=1,
    )
