"""Definitions of real packages whose every use can be known: what a break can be done to."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import Parameter, Signature

from famulus.bench.review_packages import Package

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Target:
    """A function or method of a package. ``owner``: the class that has the method, or inherits it."""

    path: str
    module: str
    node: AnyFunction
    owner: ast.ClassDef | None = None
    exported: bool = False
    """Whether ``from module import *`` gives it."""

    @property
    def dotted(self) -> str:
        """Its full name."""
        return ".".join([self.module, *([self.owner.name] if self.owner else []), self.node.name])


@dataclass(frozen=True)
class Break:
    """A break. ``parameter``: the one that changed; ``arity``: of the tuples before. ``text``: the file afterwards."""

    kind: str
    target: Target
    text: str = field(repr=False)
    old: Signature
    new: Signature | None
    parameter: str = ""
    arity: int = 0


@dataclass
class Place:
    """Where a break may be made."""

    target: Target
    text: str
    tree: ast.Module
    names: Counter[str]
    """How often a function or method of this name is defined in the package."""

    @property
    def node(self) -> AnyFunction:
        return self.target.node

    @property
    def parameters(self) -> list[ast.arg]:
        """Those by position, without ``self``."""
        return self.node.args.args[1 if self.target.owner else 0 :]


def places(package: Package) -> Iterator[Place]:
    """Functions and methods that are bound once, in classes of which all is known."""
    read = list(package.modules())
    names = Counter(n.name for *_, tree in read for n in ast.walk(tree) if isinstance(n, AnyFunction | ast.ClassDef))
    shadowed = {
        f"{module}.{name}"
        for path, module, _, tree in read
        if path.endswith("__init__.py")
        for node in tree.body
        for name in binds(node)
    }
    for path, module, text, tree in read:
        if module in shadowed:  # `package.module` then means something else
            continue
        if "__main__" in path or any(isinstance(n, AnyFunction) and n.name == "__getattr__" for n in tree.body):
            continue
        bound = Counter(name for node in tree.body for name in binds(node))
        for node in tree.body:
            if isinstance(node, AnyFunction) and bound[node.name] == 1 and plain(node):
                yield Place(Target(path, module, node, None, exported(node.name, tree)), text, tree, names)
            elif isinstance(node, ast.ClassDef) and bound[node.name] == 1 and closed(node, tree):
                methods = Counter(m.name for m in node.body if isinstance(m, AnyFunction))
                for method in node.body:
                    if isinstance(method, AnyFunction) and methods[method.name] == 1 and method.args.args:
                        target = Target(path, module, method, node, exported(node.name, tree))
                        yield Place(target, text, tree, names)


def exported(name: str, tree: ast.Module) -> bool:
    """Whether a star import of the module gives the name."""
    listed = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "__all__"]
    if not listed:
        return not name.startswith("_")
    return any(isinstance(n, ast.Constant) and n.value == name for n in ast.walk(tree))


def plain(node: AnyFunction) -> bool:
    """Whether a function is called as it is written."""
    return not node.decorator_list and not node.name.startswith("__")


def binds(node: ast.stmt) -> Iterator[str]:
    """All names that a statement may bind, also deep inside."""
    for inner in ast.walk(node):
        if isinstance(inner, AnyFunction | ast.ClassDef):
            yield inner.name
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store | ast.Del):
            yield inner.id
        elif isinstance(inner, ast.alias):
            yield inner.asname or inner.name


def closed(node: ast.ClassDef, tree: ast.Module) -> bool:
    """Whether all that a class has is in the file: no decorators, bases of the file only, no ``__getattr__``."""
    if node.decorator_list or node.keywords:
        return False
    if any(isinstance(m, AnyFunction) and m.name in ("__getattr__", "__getattribute__", "__new__") for m in node.body):
        return False
    return all(base is not None and closed(base, tree) for base in bases(node, tree))


def bases(node: ast.ClassDef, tree: ast.Module) -> list[ast.ClassDef | None]:
    """The classes of the file that are its bases; None for another one."""
    here = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    named = [base.id if isinstance(base, ast.Name) else "?" for base in node.bases]
    return [here.get(name) for name in named if name != "object"]


def signature(arguments: ast.arguments, method: bool) -> Signature:
    """The signature as Python has it, to bind calls with: the truth about a call, found without our own code."""
    spaced = [None] * (len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    found = [*((a, Parameter.POSITIONAL_ONLY) for a in arguments.posonlyargs)]
    both = [*found, *((a, Parameter.POSITIONAL_OR_KEYWORD) for a in arguments.args)]
    made = [
        Parameter(a.arg, kind, default=Parameter.empty if d is None else 0)
        for (a, kind), d in zip(both, spaced, strict=True)
    ]
    for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        made.append(Parameter(a.arg, Parameter.KEYWORD_ONLY, default=Parameter.empty if d is None else 0))
    return Signature(made[1:] if method else made)
