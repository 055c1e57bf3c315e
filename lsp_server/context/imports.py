"""Which files of the workspace a file imports, and what it takes from them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<module>[.\w]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n#;]+)"
    r"|import[ \t]+(?P<plain>[^\n#;]+))",
    re.MULTILINE,
)
_SCRIPT = re.compile(
    r"""^[ \t]*(?:import|export)\b(?P<names>[^'"`;]*?)(?:\bfrom[ \t]*)?['"](?P<module>\.{1,2}/[^'"]*)['"]""",
    re.MULTILINE,
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"(?P<module>[^"\n]+)"', re.MULTILINE)
_JAVA = re.compile(r"^[ \t]*import[ \t]+(?:static[ \t]+)?(?P<module>[\w.]+)[ \t]*;", re.MULTILINE)
_RUST = re.compile(r"^[ \t]*(?:pub )?(?:use (?:crate|super|self)::(?P<use>[^;]+)|mod (?P<mod>\w+));", re.MULTILINE)
_WORD = re.compile(r"[^\W\d]\w*")
_SCRIPTS = frozenset(("typescript", "typescriptreact", "javascript", "javascriptreact"))
_ENDINGS = (".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.tsx", "/index.js")
_SEARCHED = 60_000
"""Code points at the start of a file in which imports are looked for."""
MOST = 60
"""Imports of one file that are followed."""


@dataclass(frozen=True)
class Import:
    """``paths``: where the module may lie, the first that is there counts. ``names``: what is taken from it; empty for
    the module as a whole, whose name in the file is ``alias``."""

    paths: tuple[Path, ...]
    names: tuple[str, ...] = ()
    alias: str = ""


def imports(language: str, text: str, path: Path, roots: Sequence[Path]) -> list[Import]:
    """The imports of ``text`` that may lie in the workspace; nothing is looked up on the disk."""
    head = text[:_SEARCHED]
    if language == "python":
        found = _python(head, path, roots)
    elif language in _SCRIPTS:
        found = [_script(match, path) for match in _SCRIPT.finditer(head)]
    elif language in ("c", "cpp"):
        found = [_include(match["module"], path, roots) for match in _INCLUDE.finditer(head)]
    elif language == "java":
        found = [_java(match["module"], path, roots) for match in _JAVA.finditer(head)]
    elif language == "rust":
        found = [_rust(match["use"] or match["mod"], path, roots) for match in _RUST.finditer(head)]
    else:
        return []
    return found[:MOST]


def _python(text: str, path: Path, roots: Sequence[Path]) -> list[Import]:
    found = []
    for match in _PYTHON.finditer(text):
        if match["module"] is None:
            for part in match["plain"].split(","):
                module, _, alias = part.strip().partition(" as ")
                if module and not module.startswith("."):
                    found.append(Import(_modules(module, path, roots), (), alias.strip() or module.partition(".")[0]))
            continue
        names = [part.strip().partition(" as ")[0].strip() for part in match["names"].strip("()").split(",")]
        names = [name for name in names if name.isidentifier()]
        files = _modules(match["module"], path, roots)
        found.append(Import(files, tuple(names)))
        folders = [file.parent if file.name == "__init__.py" else file.with_suffix("") for file in files]
        found += [Import((folder / f"{name}.py",), (), name) for name in names[:8] for folder in folders[-1:]]
    return found


def _modules(module: str, path: Path, roots: Sequence[Path]) -> tuple[Path, ...]:
    dots = len(module) - len(module.lstrip("."))
    parts = [part for part in module.split(".") if part]
    if dots:
        bases = [path.parents[dots - 1]] if len(path.parents) >= dots else []
    else:
        inside = [root for root in roots if path.is_relative_to(root)]
        bases = [path.parent, *inside, *(root / "src" for root in inside)]
    places: list[Path] = []
    for base in bases:
        file = base.joinpath(*parts)
        places += [file.with_name(file.name + ".py")] if parts else []
        places.append(file / "__init__.py")
    return tuple(places)


def _script(match: re.Match[str], path: Path) -> Import:
    base = Path(os.path.normpath(path.parent / match["module"]))
    stem = str(base.with_suffix("")) if base.suffix in (".js", ".jsx", ".mjs") else str(base)
    names = tuple(word for word in _WORD.findall(match["names"]) if word not in ("type", "as", "from", "import"))
    return Import((*((base,) if base.suffix else ()), *(Path(stem + ending) for ending in _ENDINGS)), names)


def _include(module: str, path: Path, roots: Sequence[Path]) -> Import:
    return Import((path.parent / module, *(base / module for root in roots for base in (root, root / "include"))))


def _java(module: str, path: Path, roots: Sequence[Path]) -> Import:
    file = Path(*module.split(".")).with_suffix(".java")
    bases = [parent for parent in path.parents if any(parent.is_relative_to(root) for root in roots)]
    return Import(tuple(base / file for base in bases), (file.stem,))


def _rust(module: str, path: Path, roots: Sequence[Path]) -> Import:
    words = _WORD.findall(module)
    bases = [path.parent, path.with_suffix(""), *(root / "src" for root in roots)]
    places = [base / f"{word}.rs" for base in bases for word in words[:1]]
    return Import((*places, *(base / words[0] / "mod.rs" for base in bases if words)), tuple(words[1:]))
