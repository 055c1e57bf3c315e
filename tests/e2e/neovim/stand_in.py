"""A language server that offers what a test wrote down, and notes what it is told: for the plugin's own behaviour.

It speaks the protocol over standard input and output. FOLDER/offers.json maps ends of the text before the cursor to
lists of items: a string to insert, or an item without its command. FOLDER/heard.jsonl gets every message. The command
famulus.rewrite sends the messages of FOLDER/says.json; where a name stands among them, it waits for FOLDER/name first.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
CAPABILITIES = {
    "positionEncoding": "utf-16",
    "textDocumentSync": {"openClose": True, "change": 1},
    "inlineCompletionProvider": {},
    "executeCommandProvider": {"commands": ["famulus.completionAccepted", "famulus.whyNothing", "famulus.rewrite"]},
}
PAGE = {"title": "Why nothing is shown", "text": "# Why\n\nThe gate said *no*."}
texts: dict[str, str] = {}


def send(message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    sys.stdout.buffer.flush()


def receive() -> dict[str, Any] | None:
    length = 0
    while (line := sys.stdin.buffer.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return json.loads(sys.stdin.buffer.read(length)) if line else None


def before(uri: str, position: dict[str, int]) -> str:
    lines = texts[uri].split("\n")[: position["line"] + 1]
    lines[-1] = lines[-1].encode("utf-16-le")[: 2 * position["character"]].decode("utf-16-le")
    return "\n".join(lines)


def offered(params: dict[str, Any]) -> dict[str, Any] | None:
    seen = before(params["textDocument"]["uri"], params["position"])
    offers = json.loads((FOLDER / "offers.json").read_text())
    here = {"start": params["position"], "end": params["position"]}
    for end, choices in offers.items():
        if seen.endswith(end):
            made = [{"insertText": c, "range": here} if isinstance(c, str) else c for c in choices]
            if params["context"]["triggerKind"] == 2:
                made = made[:1]
            command = "famulus.completionAccepted"
            return {
                "items": [
                    item | {"command": {"title": "", "command": command, "arguments": [f"{end}/{number}"]}}
                    for number, item in enumerate(made)
                ]
            }
    return None


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def answer(method: str, params: Any) -> Any:
    if method == "initialize":
        return {"capabilities": CAPABILITIES}
    if method == "textDocument/inlineCompletion":
        if (FOLDER / "slow").exists():
            time.sleep(0.3)
        return offered(params)
    if method == "workspace/executeCommand" and params["command"] == "famulus.whyNothing":
        return PAGE
    if method == "workspace/executeCommand" and params["command"] == "famulus.rewrite":
        says = FOLDER / "says.json"
        for message in json.loads(says.read_text()) if says.exists() else []:
            if isinstance(message, str):
                wait_for(FOLDER / message)
            else:
                send(message)
    return None


with open(FOLDER / "heard.jsonl", "a", encoding="utf-8") as heard:
    while (message := receive()) is not None:
        heard.write(json.dumps(message) + "\n")
        heard.flush()
        method, params = message.get("method"), message.get("params")
        if method == "exit":
            break
        if method == "textDocument/didOpen":
            texts[params["textDocument"]["uri"]] = params["textDocument"]["text"]
        elif method == "textDocument/didChange":
            texts[params["textDocument"]["uri"]] = params["contentChanges"][-1]["text"]
            if "crash now" in params["contentChanges"][-1]["text"]:
                sys.exit(7)
        elif "id" in message and method is not None:
            send({"id": message["id"], "result": answer(method, params)})
