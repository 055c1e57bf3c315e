"""What code did to the user's names."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from famulus.jupyter_kernel.rehearse.isolate import SharedFile


class Comparison:
    """Made before the code runs; :meth:`finish` after it."""

    def __init__(self, shell: Any, tree: ast.Module, shared: Sequence[SharedFile]) -> None:
        self._shell = shell
        self._before = dict(shell.user_ns)

    def finish(self) -> dict[str, list[str]]:
        """``bound``, ``rebound``, ``changed``, ``deleted``: names, in the order of the namespace."""
        before, after = self._before, self._shell.user_ns
        hidden = self._shell.user_ns_hidden
        names = [name for name in {**before, **after} if isinstance(name, str) and name not in hidden]
        return {
            "bound": [name for name in names if name not in before],
            "rebound": [name for name in names if name in before and name in after and before[name] is not after[name]],
            "changed": [],
            "deleted": [name for name in names if name not in after],
        }

    def written_files(self) -> list[str]:
        return []

    def databases(self) -> list[str]:
        return []
