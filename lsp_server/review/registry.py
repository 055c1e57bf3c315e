"""Which rules there are: our own by the name of their module, and those of plugins.

A package adds rules by an entry point in the group ``famulus.plugins`` that names a module or an object with the hook::

    from famulus.lsp_server.review.registry import plugin

    @plugin
    def famulus_review_rules():
        return [MyRule()]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib import import_module, metadata
from typing import Any, cast

import pluggy

from famulus.engine.errors import InvalidRequest
from famulus.lsp_server.review.rule import Rule

GROUP = "famulus.plugins"
"""The entry points of packages that add to Famulus."""

RULES = (
    "neutral",
    "leaks",
    "weakened",
    "callsites",
    "contracts",
    "witness",
    "linters",
    "foreign_calls",
    "unnoticed",
    "flaky",
    "surprise",
)  # fmt: skip
"""Modules in :mod:`famulus.lsp_server.review.rules`, each with a ``RULE``; within a stage they run in this order."""

plugin = pluggy.HookimplMarker("famulus")
"""Marks a plugin's hooks."""

_hook = pluggy.HookspecMarker("famulus")


class Hooks:
    """What a plugin may offer to the review."""

    @_hook
    def famulus_review_rules(self) -> Sequence[Rule]:
        """Rules, which run after our own of the same stage."""
        raise NotImplementedError


def rules() -> tuple[list[Rule], list[str]]:
    """All rules in the order in which they run, and a sentence for each plugin that could not be loaded."""
    own = [cast(Rule, import_module(f"famulus.lsp_server.review.rules.{name}").RULE) for name in RULES]
    theirs, troubles = _of_plugins()
    return sorted(own + theirs, key=lambda rule: rule.stage), troubles


def matches(name: str, pattern: str) -> bool:
    """Whether ``pattern`` (a name, a name's beginning up to a ``/``, or with ``*``) means the rule or finding."""
    return fnmatchcase(name, pattern) or name.startswith(pattern.rstrip("/") + "/")


def chosen(among: Iterable[Rule], only: Sequence[str], skipped: Sequence[str]) -> list[Rule]:
    """The rules that run. A pattern that names one kind of a rule's findings (``call-site/name``) keeps the rule.

    Raises :class:`InvalidRequest` for a pattern that means no rule.
    """
    rules = list(among)
    for pattern in (*only, *skipped):
        if not any(matches(rule.name, pattern) or pattern.startswith(f"{rule.name}/") for rule in rules):
            names = ", ".join(sorted(rule.name for rule in rules))
            raise InvalidRequest(f"There is no rule {pattern!r}.", fix=f"There are: {names}.")
    return [
        rule
        for rule in rules
        if not any(matches(rule.name, pattern) for pattern in skipped)
        and (not only or any(matches(rule.name, p) or p.startswith(f"{rule.name}/") for p in only))
    ]


def wanted(finding: str, only: Sequence[str], skipped: Sequence[str]) -> bool:
    """Whether the findings of this id are asked for."""
    return not any(matches(finding, pattern) for pattern in skipped) and (
        not only or any(matches(finding, pattern) for pattern in only)
    )


def _of_plugins() -> tuple[list[Rule], list[str]]:
    """A plugin that fails is named; it takes nothing else with it."""
    found: list[Rule] = []
    troubles = []
    for entry in metadata.entry_points(group=GROUP):
        manager = pluggy.PluginManager("famulus")
        manager.add_hookspecs(Hooks)
        try:
            loaded: Any = entry.load()
            manager.register(loaded, entry.name)
            found += [rule for offered in manager.hook.famulus_review_rules() for rule in offered]
        except Exception as error:  # somebody else's code, of any kind
            troubles.append(f"The plugin {entry.name} could not be loaded ({type(error).__name__}: {error}).")
    return found, troubles
