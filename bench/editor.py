"""An editor made of a pipe: starts ``famulus lsp`` and speaks the protocol, as a client written from the specification.

Positions are counted in code points (UTF-32), which the server is asked for.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WIDTH = 32 << 20
"""Bytes; the longest message that is read."""


@dataclass
class Reply:
    """An answer: ``result`` or ``error``, and when it came (:func:`time.perf_counter`)."""

    result: Any
    error: dict[str, Any] | None
    at: float


@dataclass
class Editor:
    """One connection. ``notified`` is told every notification of the server."""

    process: asyncio.subprocess.Process
    notified: Callable[[str, Any], None] = lambda method, params: None
    _pending: dict[int, asyncio.Future[Reply]] = field(default_factory=dict)
    _next: int = 0
    _reader: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, folder: Path, home: Path | None = None, options: dict[str, Any] | None = None) -> Editor:
        """A server that works in ``folder``, initialised."""
        environment = {**os.environ, **({"FAMULUS_HOME": str(home)} if home else {})}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "famulus", "lsp",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment, cwd=folder, limit=WIDTH,
        )  # fmt: skip
        editor = cls(process)
        editor._reader = asyncio.create_task(editor._read())
        text_document: dict[str, Any] = {"inlineCompletion": {}, "synchronization": {}, "publishDiagnostics": {}}
        capabilities = {"general": {"positionEncodings": ["utf-32"]}, "textDocument": text_document}
        root = folder.as_uri()
        folders = [{"uri": root, "name": folder.name}]
        given = {"processId": os.getpid(), "rootUri": root, "workspaceFolders": folders, "capabilities": capabilities}
        await editor.request("initialize", {**given, "initializationOptions": options or {}})
        editor.notify("initialized", {})
        return editor

    def send(self, method: str, params: Any) -> tuple[int, asyncio.Future[Reply]]:
        """Send a request; its number and its answer to come."""
        self._next += 1
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[self._next] = future
        self._write({"id": self._next, "method": method, "params": params})
        return self._next, future

    async def request(self, method: str, params: Any) -> Any:
        """Send a request and wait for its result."""
        reply = await self.send(method, params)[1]
        if reply.error is not None:
            raise SystemExit(f"The server answered {method} with an error: {reply.error}")
        return reply.result

    def notify(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._write({"method": method, "params": params})

    def open(self, uri: str, text: str, language: str = "python") -> None:
        """Show a document to the server, version 1."""
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def close(self, uri: str) -> None:
        """Take a document away."""
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def insert(self, uri: str, version: int, at: tuple[int, int], text: str) -> None:
        """The user typed ``text``."""
        place = {"line": at[0], "character": at[1]}
        change = {"range": {"start": place, "end": place}, "text": text}
        self.notify(
            "textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": [change]}
        )

    def complete(self, uri: str, at: tuple[int, int]) -> tuple[int, asyncio.Future[Reply]]:
        """Ask for inline completion, as editors do by themselves after a key."""
        place = {"line": at[0], "character": at[1]}
        params = {"textDocument": {"uri": uri}, "position": place, "context": {"triggerKind": 2}}
        return self.send("textDocument/inlineCompletion", params)

    async def explain(self, uri: str, at: tuple[int, int]) -> dict[str, Any]:
        """What the server says of the last decision at a place; empty where it knows none."""
        place = {"line": at[0], "character": at[1]}
        order = {"command": "famulus.whyNothing", "arguments": [uri, place]}
        reply = await self.send("workspace/executeCommand", order)[1]
        return (reply.result or {}).get("data") or {}

    def cancel(self, number: int) -> None:
        """Take a request back."""
        self.notify("$/cancelRequest", {"id": number})

    def memory(self) -> int:
        """Bytes of physical memory of the server process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        return 0

    async def stop(self) -> None:
        """Leave politely."""
        await self.request("shutdown", None)
        self.notify("exit", None)
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            self.process.kill()
        if self._reader is not None:
            self._reader.cancel()

    def _write(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async def _read(self) -> None:
        reader = self.process.stdout
        assert reader is not None
        while True:
            length = 0
            while (line := await reader.readline()).strip():
                name, _, value = line.partition(b":")
                if name.strip().lower() == b"content-length":
                    length = int(value)
            if not line:
                break
            message = json.loads(await reader.readexactly(length))
            self._take(message, time.perf_counter())
        for future in self._pending.values():
            future.set_exception(SystemExit("The language server ended; its last words are above."))

    def _take(self, message: dict[str, Any], at: float) -> None:
        if "method" not in message:
            future = self._pending.pop(message["id"], None)
            if future is not None and not future.done():
                future.set_result(Reply(message.get("result"), message.get("error"), at))
        elif "id" in message:
            asked = message["params"].get("items", []) if message["method"] == "workspace/configuration" else None
            self._write({"id": message["id"], "result": [None] * len(asked) if asked is not None else None})
        else:
            self.notified(message["method"], message.get("params"))
