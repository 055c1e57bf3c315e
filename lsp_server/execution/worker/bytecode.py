"""Keeps the compiled code of the project's modules between hosts: they are imported several times, their files never
change, and beside them nothing can be written."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.machinery
import marshal
import os
import sys
import tempfile
import types
from typing import Any

_FOLDER = "famulus-bytecode"


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from its source, or from code that another host has compiled."""

    def get_code(self, fullname: str) -> types.CodeType | None:
        """See :class:`importlib.abc.InspectLoader`."""
        path = self.get_filename(fullname)
        source = self.get_data(path)
        kept = os.path.join(tempfile.gettempdir(), _FOLDER, hashlib.sha1(source).hexdigest())
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
            with open(kept, "rb") as file:
                code = marshal.load(file)
            if isinstance(code, types.CodeType):
                return _moved(code, path)
        made: types.CodeType = self.source_to_code(source, path)
        with contextlib.suppress(OSError, ValueError):
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            temporary = f"{kept}.{os.getpid()}"
            with open(temporary, "wb") as file:
                marshal.dump(made, file)
            os.replace(temporary, kept)
        return made


def _moved(code: types.CodeType, path: str) -> types.CodeType:
    """The same code as of the file ``path``."""
    if code.co_filename == path:
        return code
    constants = tuple(_moved(item, path) if isinstance(item, types.CodeType) else item for item in code.co_consts)
    return code.replace(co_filename=path, co_consts=constants)


def keep(root: str) -> None:
    """From now on, compile modules below ``root`` once only, as long as the folder for temporary files lasts."""
    extensions = importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES
    source = _Loader, importlib.machinery.SOURCE_SUFFIXES
    finder: Any = importlib.machinery.FileFinder.path_hook(extensions, source)

    def hook(path: str) -> Any:
        if os.path.realpath(path).startswith(root):
            return finder(path)
        raise ImportError

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
