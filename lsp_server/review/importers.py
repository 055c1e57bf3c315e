"""Which test files can run the code of changed files: those that import it, over however many modules."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from famulus.lsp_server.execution.layout import is_test

if TYPE_CHECKING:
    from famulus.lsp_server.review.index.facts import Import
    from famulus.lsp_server.review.index.project import Project
    from famulus.lsp_server.review.index.values import Module


def related_tests(project: Project, changed: Collection[str]) -> list[str]:
    """Test files that import one of the ``changed`` files, directly or not, the nearest first; so do all tests below a
    ``conftest.py`` that does."""
    importers: dict[str, set[str]] = {}
    for module in project.modules:
        for _, path, _ in imported_by(project, module):
            importers.setdefault(path, set()).add(module.path)
    distance = dict.fromkeys(changed, 0)
    waiting = list(changed)
    for path in waiting:  # it grows
        for importer in importers.get(path, ()):
            if importer not in distance:
                distance[importer] = distance[path] + 1
                waiting.append(importer)
    found = {path: far for path, far in distance.items() if is_test(path)}
    for path, far in distance.items():
        if posixpath.basename(path) == "conftest.py":
            folder = posixpath.dirname(path)
            for test in project.paths:
                if is_test(test) and (not folder or test.startswith(folder + "/")):
                    found.setdefault(test, far + 1)
    return sorted(found, key=lambda path: (found[path], path))


def imported_by(project: Project, module: Module) -> Iterator[tuple[Import, str, bool]]:
    """Import statements of a module with the paths of the project's modules that they import; with a module its
    packages. The last: whether the path is of a module that ``from … import`` takes out of its package."""
    for statement in module.facts.imports if module.facts is not None else ():
        target = project.imported(module, statement)
        if target is None:
            continue
        for path in _with_packages(project, target.path):
            yield statement, path, False
        if statement.attribute == "*" or statement.attribute is None:
            continue
        inner = project.submodule(target, statement.attribute)
        if inner is not None:
            yield statement, inner.path, True


def _with_packages(project: Project, path: str) -> Iterator[str]:
    yield path
    folder = posixpath.dirname(path)
    while folder and f"{folder}/__init__.py" in project.imports.files:
        yield f"{folder}/__init__.py"
        folder = posixpath.dirname(folder)
