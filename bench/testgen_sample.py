"""The functions on which ``famulus bench testgen`` is measured: drawn by a seed from installed packages, never by
whether tests can be made for them."""

from __future__ import annotations

import ast
import importlib.util
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from famulus.bench.testgen_plain import AnyFunction, classes, plain

PACKAGES = (
    "dateutil", "sortedcontainers", "mistune", "soupsieve", "jinja2", "lark", "parso", "h11", "idna", "tinycss2",
    "markdown_it", "pathspec", "jsonschema", "pyparsing", "requests", "click", "arrow", "urllib3", "json5", "rich",
    "isoduration", "webcolors", "tenacity", "bleach", "uri_template", "referencing", "httpx", "nbformat", "asttokens",
    "stack_data", "fqdn", "httpcore", "fsspec", "jedi", "babel",
)  # fmt: skip
"""Import names, pure Python, none of which pytest imports itself; those that are not installed are passed over."""
LEAST_STATEMENTS = 3
_PER_MODULE = 3
_MOST_BYTES = 200_000
_TESTS = {"tests", "test", "testing", "__pycache__", "_vendor", "_tests"}
_OUTSIDE = frozenset(
    (
        "open", "input", "print", "exit", "socket", "subprocess", "threading", "multiprocessing", "asyncio", "select",
        "signal", "shutil", "tempfile", "ssl", "urlopen", "getpass", "ctypes", "fcntl", "termios", "sleep", "environ",
        "stdin", "stdout", "stderr", "urandom", "random", "now", "utcnow", "time", "perf_counter", "monotonic",
        "getcwd", "chdir", "mkdir", "makedirs", "unlink", "remove_dir", "isatty", "get_terminal_size", "webbrowser",
        "recv", "send", "connect", "breakpoint", "exec", "eval", "globals", "_getframe", "currentframe", "frame",
    )
)  # fmt: skip
"""Names that tell of the world outside: a function that speaks of them is not pure enough."""


@dataclass(frozen=True)
class Project:
    """An installed package as a project. ``files``: all its files by path from the folder that is imported from."""

    name: str
    version: str
    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Chosen:
    """One function. ``name``: dotted, with its class; ``node``: its definition in ``text``."""

    project: Project
    path: str
    name: str
    text: str
    node: AnyFunction

    @property
    def key(self) -> str:
        """What it is kept under."""
        return f"{self.project.name}:{self.path}::{self.name}"

    @property
    def first(self) -> int:
        """Its first line, that of a decorator if it has one."""
        return min([self.node.lineno, *(d.lineno for d in self.node.decorator_list)])


def projects() -> list[Project]:
    """The packages that are installed, without their tests."""
    owners = metadata.packages_distributions()
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            continue
        top = Path(next(iter(spec.submodule_search_locations)))
        files = {}
        for file in sorted(top.rglob("*")):
            place = file.relative_to(top.parent)
            if file.is_file() and _TESTS.isdisjoint(place.parts) and file.suffix not in (".pyc", ".so"):
                files[place.as_posix()] = file.read_bytes()
        found.append(Project(name, metadata.version(owners.get(name, [name])[0]), files))
    return found


def sample(number: int, seed: int) -> list[Chosen]:
    """``number`` functions or some more: those of one module of each package, then of a second one, and so on; of a
    smaller number, the first ones."""
    streams = [_stream(project, random.Random(f"{seed} {project.name}")) for project in projects()]
    found: list[Chosen] = []
    while streams and len(found) < number:
        for stream in list(streams):
            some = next(stream, None)
            if some is None:
                streams.remove(stream)
            elif len(found) < number:
                found += some
    return found


def _stream(project: Project, dice: random.Random) -> Iterator[list[Chosen]]:
    """The functions of a package, some of a module and then of the next: of modules that have two or more."""
    paths = [p for p, content in project.files.items() if p.endswith(".py") and len(content) <= _MOST_BYTES]
    for path in dice.sample(paths, len(paths)):
        if path.endswith(("__main__.py", "setup.py", "conftest.py")) or "/test" in path:
            continue
        try:
            text = project.files[path].decode()
            tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError):
            continue
        if not _importable(tree, project):
            continue
        own = classes(tree.body)
        known = [(n, node) for n, node in definitions(tree.body) if fit(n, node) and plain(node, n, own)]
        if len(known) > 1:
            some = dice.sample(known, min(_PER_MODULE, len(known)))
            yield [Chosen(project, path, name, text, node) for name, node in some]


def _importable(tree: ast.Module, project: Project) -> bool:
    """Whether all is installed that the module imports whatever happens."""
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        for name in {name.partition(".")[0] for name in names} - {project.name}:
            if importlib.util.find_spec(name) is None:
                return False
    return True


def definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, AnyFunction]]:
    """Functions and methods at the top of a module and its classes, each name once."""
    found: dict[str, AnyFunction] = {}
    for node in body:
        if isinstance(node, AnyFunction):
            found[prefix + node.name] = node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found.update(definitions(node.body, f"{prefix}{node.name}."))
    yield from found.items()


def fit(name: str, node: AnyFunction) -> bool:
    """Whether it is public, long enough and speaks of nothing outside."""
    if any(part.startswith("_") for part in name.split(".")):
        return False
    decorators = " ".join(ast.unparse(d) for d in node.decorator_list)
    if any(word in decorators for word in ("overload", "abstract", "fixture", "setter", "deleter", "contextmanager")):
        return False
    if sum(1 for part in node.body for n in ast.walk(part) if _mutable(n)) < LEAST_STATEMENTS:
        return False
    words = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    words |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return words.isdisjoint(_OUTSIDE)


def _mutable(node: ast.AST) -> bool:
    """Whether a statement does something that a change could spoil."""
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    kept = (ast.Pass, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Assert, ast.Raise)
    return isinstance(node, ast.stmt) and not isinstance(node, kept)
