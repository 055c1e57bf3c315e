"""The answer to ``initialize``: what the server can do. Standard library only.

It depends on nothing but what the client says of itself, so it is written down here, and given while the server is
still being imported (:mod:`famulus.lsp_server.pipes`), which takes most of a second. A test compares it with what pygls
would answer from the features that are bound; whoever binds another one adds it here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from famulus import __version__

INITIALIZE = "initialize"
ENCODINGS = ("utf-8", "utf-16", "utf-32")
NOTEBOOKS = {"notebookSelector": [{"notebook": "*"}], "save": False}
POPUP = {"triggerCharacters": list(". ([{=,:")}
ALWAYS = {
    "textDocumentSync": {"openClose": True, "change": 2, "save": True},
    "codeActionProvider": {"codeActionKinds": ["quickfix", "refactor.rewrite", "source"]},
    "executeCommandProvider": {
        "commands": [
            "famulus.restartEngine",
            "famulus.completionAccepted",
            "famulus.whyNothing",
            "famulus.showPrompt",
            "famulus.explain",
            "famulus.docstring",
            "famulus.rewrite",
            "famulus.fix",
            "famulus.commitMessage",
            "famulus.review",
            "famulus.review.staged",
            "famulus.review.why",
            "famulus.review.ignore",
            "famulus.review.witness",
            "famulus.testgen",
            "famulus.testgen.here",
            "famulus.testgen.strengthen",
            "famulus.testgen.why",
        ]
    },
    "inlineCompletionProvider": {},
    "codeLensProvider": {"resolveProvider": True},
    "workspace": {"workspaceFolders": {"supported": True, "changeNotifications": True}, "fileOperations": {}},
}


def result(client: Mapping[str, Any]) -> dict[str, Any]:
    """What ``initialize`` is answered with, for the capabilities of a client. Raises AttributeError, TypeError where
    they are none."""
    offered = _at(client, "general", "positionEncodings") or ()
    capabilities = {"positionEncoding": next((name for name in offered if name in ENCODINGS), "utf-16"), **ALWAYS}
    if _at(client, "notebookDocument") is not None:
        capabilities["notebookDocumentSync"] = NOTEBOOKS
    if _at(client, "textDocument", "inlineCompletion") is None:
        capabilities["completionProvider"] = POPUP
    return {"capabilities": capabilities, "serverInfo": {"name": "famulus", "version": __version__}}


def answer(body: bytes) -> bytes | None:
    """The answer to a client's first message; None if that is anything else than ``initialize``."""
    try:
        message = json.loads(body.decode(), parse_constant=no_constant)
        if message["jsonrpc"] != "2.0" or message["method"] != INITIALIZE or type(message["id"]) not in (int, str):
            return None
        found = result(message["params"]["capabilities"])
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None  # it is answered with what is wrong, when the rest of the server is there
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": found}, separators=(",", ":")).encode()


def no_constant(name: str) -> float:
    """For ``parse_constant`` of :func:`json.loads`. Raises ValueError."""
    raise ValueError(f"{name} is no JSON")


def _at(value: Any, *names: str) -> Any:
    """What stands there; None where something on the way is missing or null. Raises AttributeError."""
    for name in names:
        value = value.get(name)
        if value is None:
            break
    return value
