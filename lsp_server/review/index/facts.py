"""What one Python file says, without its name: the same bytes give the same facts wherever they stand.

Lines count from 1, columns from 0 in bytes of UTF-8, as :mod:`ast` counts them.

A **path** is an expression as text, as far as names can be followed: a root name and steps. ``.name`` is an attribute,
``()`` the result of a call, ``[]`` or ``[2]`` an item, ``<>`` what iterating gives, ``^`` is awaited, ``@`` is what
``with`` binds, ``!1:a,b`` is ``functools.partial`` with one positional argument and the keywords a and b. A literal has
a root that begins with ``#``: ``#str``, ``#list``, ``#tuple:2``, ``#None``, and ``#`` for what is not followed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ANY = "*"
"""A name that stands for all."""

POSITIONAL_ONLY, POSITIONAL, STAR, KEYWORD_ONLY, DOUBLE_STAR = range(5)
"""Kinds of parameters, in the order in which they are written."""


class Parameter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``default`` and ``annotation`` as source; ``default`` None: it must be given."""

    name: str
    kind: int
    default: str | None = None
    annotation: str = ""

    @property
    def needed(self) -> bool:
        """Whether a call must give it."""
        return self.default is None and self.kind not in (STAR, DOUBLE_STAR)


class Shape(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The form of a call's arguments: how many stand by position, which by name, and whether ``*`` and ``**`` occur."""

    positional: int = 0
    keywords: tuple[str, ...] = ()
    star: bool = False
    double_star: bool = False


class Reference(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One place where a name is used, with as many attributes as follow it.

    ``call``: the arguments, if it is called. ``use``: what happens to it, or to its call's result: ``discard``,
    ``=name``, ``unpack:2`` (``unpack:2+`` with a starred target), ``iter``, ``iter unpack:2``, ``len``, ``index``,
    ``attr:name``, ``compare:==``, ``test``, ``op``, ``return``, ``with``, ``arg`` …; behind ``await``, as in
    ``await unpack:2``, if it is awaited first. ``guard``: the ``try`` around it, an index, or -1.
    """

    scope: int
    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    use: str
    call: Shape | None = None
    guard: int = -1


class Guard(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A ``try`` (or ``suppress``, or ``pytest.raises``) in a scope, with the paths of what it catches; "" for all."""

    scope: int
    catches: tuple[str, ...]
    outer: int
    line: int
    expected: bool = False
    """A test that wants the exception."""


class Import(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``import module`` (``attribute`` None) or ``from ..module import attribute`` (or ``*``), bound to ``name``."""

    scope: int
    module: str
    attribute: str | None
    level: int
    name: str
    line: int
    column: int
    end_line: int
    end_column: int
    guard: int = -1
    type_checking: bool = False


class Binding(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One way a name gets its value.

    ``index``: of the import, of the definition, or (``attribute``) of the scope in which ``value`` is to be read.
    """

    kind: Literal["import", "definition", "value", "parameter", "attribute", "unknown"]
    index: int = -1
    value: str = ""
    annotation: str = ""
    conditional: bool = False


class Scope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A module, class, function, lambda or comprehension with the names that it binds.

    ``attributes``: of a class, what its methods store in ``self``. ``definition``: whose body it is, or -1.
    """

    kind: Literal["module", "class", "function", "lambda", "comprehension"]
    parent: int
    name: str
    definition: int
    bindings: dict[str, list[Binding]]
    attributes: dict[str, list[Binding]]


class Decorator(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``path`` without the call's brackets; ``source`` as written."""

    path: str
    source: str


class Raise(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An exception that is raised by name, and the ``try`` around it."""

    path: str
    line: int
    guard: int


class Definition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A function, a class, or a name that a module or class body assigns.

    ``returns``: a path for each ``return``, in order; ``#None`` once more if the end can be reached. ``source``: of an
    assignment's value, or of a base that ``namedtuple(...)`` makes. ``passes``: a decorator that gives back what it
    got, or a wrapper that hands all arguments on.
    """

    kind: Literal["function", "class", "value"]
    name: str
    qualname: str
    scope: int
    line: int
    column: int
    end_line: int
    end_column: int
    body: int = -1
    """The scope of its body."""
    decorators: tuple[Decorator, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    annotation: str = ""
    """Of the result, or of the name."""
    is_async: bool = False
    generator: bool = False
    returns: tuple[str, ...] = ()
    yields: tuple[str, ...] = ()
    raises: tuple[Raise, ...] = ()
    passes: bool = False
    bases: tuple[str, ...] = ()
    keywords: tuple[tuple[str, str], ...] = ()
    """Of a class statement: ``metaclass`` and others, with their source."""
    source: str = ""
    conditional: bool = False
    start: int = 0
    """The first line with its decorators."""


class Text(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A string that may name something. ``callee``: path of the call in which it stands; ``owner``: path of the object
    whose attribute it names (``getattr(owner, "name")``), empty for a dotted name."""

    scope: int
    value: str
    line: int
    column: int
    end_line: int
    end_column: int
    callee: str = ""
    owner: str = ""
    guard: int = -1


class ModuleFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All of one file.

    ``exports``: ``__all__``, None if there is none or it is computed. ``stored``: attribute names that are set on
    objects other than ``self``, :data:`ANY` if names are put into the module's dictionary. ``names``: every identifier
    in references and imports.
    """

    scopes: list[Scope]
    definitions: list[Definition]
    imports: list[Import]
    references: list[Reference]
    guards: list[Guard]
    texts: list[Text]
    exports: list[str] | None
    stored: frozenset[str]
    names: frozenset[str]
    lines: int
