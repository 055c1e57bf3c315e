"""Rule 2, classes: properties and methods that changed places, new duties of subclasses, protocols that are gone."""

from __future__ import annotations

from collections.abc import Iterator

from famulus.lsp_server.review.finding import Finding
from famulus.lsp_server.review.index.changes import Changes, Pair
from famulus.lsp_server.review.index.naming import uses
from famulus.lsp_server.review.index.paths import steps
from famulus.lsp_server.review.index.project import Project
from famulus.lsp_server.review.index.values import Above, Instance, Outside, Symbol, Unknown, Use, Value
from famulus.lsp_server.review.rules.callsites_words import called, untouched, written
from famulus.lsp_server.review.rules.contracts_callers import NONE
from famulus.lsp_server.review.rules.contracts_finding import made

_PROTOCOLS = {
    "__enter__": (("with",), "enters {} with `with`"),
    "__exit__": (("with",), "enters {} with `with`"),
    "__aenter__": (("async with",), "enters {} with `async with`"),
    "__aexit__": (("async with",), "enters {} with `async with`"),
    "__iter__": (("iter", "unpack"), "iterates over {}"),
    "__len__": (("len",), "takes the length of {}"),
    "__getitem__": (("index",), "takes an item from {}"),
    "__next__": (("next",), "takes the next of {}"),
    "__call__": (("",), "calls {}"),
}


def changed(changes: Changes, pair: Pair) -> bool:
    """Whether a method became a property or the other way round."""
    old, new = changes.old.resolver.classes.kind(pair.old), changes.new.resolver.classes.kind(pair.new)
    return old != new and "property" in (old, new)


def check(changes: Changes, pair: Pair) -> Iterator[Finding]:
    """Users that call what is now a property, or do not call what is now a method."""
    classes = changes.new.resolver.classes
    now_property = classes.kind(pair.new) == "property"
    for use, base, after in _taken(changes, pair.new):
        receivers = changes.new.resolver.resolve(use.module, use.reference.scope, base)
        receivers = tuple(v for v in receivers if v != NONE) or receivers
        if not receivers or not all(_has(changes, v, pair.new) for v in receivers):
            continue
        if after:
            if not now_property and _on_a_function(pair.new, after) and untouched(changes, use):
                text = f"uses `{written(base)}.{pair.new.name}` without calling it, but it is now a method"
                yield made(changes, use.module, use.reference, "method", text, pair, "is a method now")
        elif now_property and use.reference.call is not None:
            results = changes.new.resolver.resolve(use.module, use.reference.scope, use.reference.path)
            if any(isinstance(v, (Symbol, Instance)) for v in results):
                continue
            sure = not any(isinstance(v, Unknown) for v in results) or untouched(changes, use)
            text = f"calls {called(use.reference)}(), which is now a property"
            yield made(
                changes,
                use.module,
                use.reference,
                "property",
                text,
                pair,
                "is a property now",
                "certain" if sure else "likely",
            )
        elif not now_property and use.reference.call is None and untouched(changes, use):
            text = f"uses `{called(use.reference)}` without calling it, but it is now a method"
            yield made(changes, use.module, use.reference, "method", text, pair, "is a method now")


def _taken(changes: Changes, method: Symbol) -> Iterator[tuple[Use, str, str]]:
    """References that take the attribute from something: with the path of that, and the next step, if there is one."""
    for use in uses(changes.new, {method.name}):
        root, following = steps(use.reference.path)
        for position, step in enumerate(following):
            after = following[position + 1] if position + 1 < len(following) else ""
            if step == f".{method.name}" and use.reference.use != "store":
                yield use, root + "".join(following[:position]), after


def _on_a_function(method: Symbol, step: str) -> bool:
    """Whether a step is one that no plain method knows: an attribute that functions lack, or an index."""
    return not method.definition.decorators and step.startswith((".", "[")) and not step.startswith(".__")


def _has(changes: Changes, receiver: Value, method: Symbol) -> bool:
    """Whether the object, or ``super()``, has just this method."""
    if isinstance(receiver, Above):
        above = [cls for cls in changes.new.resolver.classes.line(receiver.of)[1:] if isinstance(cls, Symbol)]
        found = (cls.module.by_qualname.get(f"{cls.qualname}.{method.name}") for cls in above)
        return receiver.instance and next((symbol for symbol in found if symbol is not None), None) is method
    return isinstance(receiver, Instance) and _finds(changes, receiver.of, method)


def _finds(changes: Changes, cls: Symbol, method: Symbol) -> bool:
    return next(changes.new.resolver.classes.members(cls, method.name), None) is method


def duties(changes: Changes) -> Iterator[Finding]:
    """Abstract methods that are new, with subclasses that could be created before and lack them."""
    classes = changes.new.resolver.classes
    candidates = [Pair(p.old, p.new) for p in changes.pairs if _abstract(p.new) and not _abstract(p.old)]
    candidates += [Pair(s, s) for s in changes.added if _abstract(s)]
    for pair in candidates:
        owner = pair.new.owner
        if owner is None or changes.old_symbol(owner) is None or not _enforced(changes.new, owner):
            continue
        for child in classes.subclasses(owner):
            before = changes.old_symbol(child)
            lacks = _finds(changes, child, pair.new)
            if not lacks or before is None or not classes.known(child) or _any_abstract(changes.old, before):
                continue
            text = f"{child.qualname} cannot be created any more: it lacks {pair.new.name}(), "
            text += f"which {owner.qualname} now demands"
            yield made(changes, child.module, child.definition, "abstract", text, pair, "is abstract", reach=1)


def _abstract(symbol: Symbol) -> bool:
    return symbol.owner is not None and any(
        d.path.rpartition(".")[2].startswith("abstract") for d in symbol.definition.decorators
    )


def _enforced(project: Project, cls: Symbol) -> bool:
    """Whether abstract methods count: the metaclass is ``ABCMeta``."""
    for value in project.resolver.classes.line(cls):
        if isinstance(value, Outside) and value.name == "abc.ABC":
            return True
        if isinstance(value, Symbol) and any(
            n == "metaclass" and s.endswith("ABCMeta") for n, s in value.definition.keywords
        ):
            return True
    return False


def _any_abstract(project: Project, cls: Symbol) -> bool:
    classes = project.resolver.classes
    names = {
        symbol.name
        for above in classes.line(cls)
        if isinstance(above, Symbol)
        for qualname, symbol in above.module.by_qualname.items()
        if _abstract(symbol) and qualname.rpartition(".")[0] == above.qualname
    }
    return any((first := next(classes.members(cls, name), None)) is not None and _abstract(first) for name in names)


def protocols(changes: Changes) -> Iterator[Finding]:
    """Special methods that are gone, with users that need them."""
    for symbol in changes.removed:
        owner = symbol.owner
        if symbol.name not in _PROTOCOLS or owner is None:
            continue
        kinds, words = _PROTOCOLS[symbol.name]
        after = next((new for old, new in changes.files if old is symbol.module), None)
        cls = after.by_qualname.get(owner.qualname) if after else None
        if cls is None or not changes.new.resolver.classes.known(cls) or _still(changes, cls, symbol.name):
            continue
        if symbol.name.endswith("exit__") and not _still(changes, cls, symbol.name.replace("exit", "enter")):
            continue  # told of the other half
        for use in _uses_of_instances(changes, cls, kinds):
            what = called(use.reference) + ("()" if use.reference.call is not None and kinds != ("",) else "")
            text = f"{words.format(what)}, but {cls.qualname} no longer has {symbol.name}"
            yield made(
                changes, use.module, use.reference, "protocol", text, Pair(owner, cls), f"has no {symbol.name} now"
            )


def _still(changes: Changes, cls: Symbol, name: str) -> bool:
    classes = changes.new.resolver.classes
    if (
        next(classes.members(cls, name), None) is not None
        or next(classes.members(cls, "__getattr__"), None) is not None
    ):
        return True
    return name == "__iter__" and next(classes.members(cls, "__getitem__"), None) is not None


def _uses_of_instances(changes: Changes, cls: Symbol, kinds: tuple[str, ...]) -> Iterator[Use]:
    """References whose value, or whose call's result, is an object of the class and is used in one of these ways."""
    for module in changes.new.modules:
        for reference in module.facts.references if module.facts else ():
            calls = kinds == ("",) and reference.call is not None
            if not calls and not (kinds != ("",) and reference.use.startswith(kinds)):
                continue
            path = reference.path + ("()" if reference.call is not None and not calls else "")
            values = changes.new.resolver.resolve(module, reference.scope, path)
            if values and all(isinstance(v, Instance) and v.of is cls for v in values):
                yield Use(module, reference)
