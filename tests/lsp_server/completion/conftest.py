"""A server without a wire and an engine whose every word the test says: what was asked, when, and what came of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from famulus.engine.errors import FamulusError
from famulus.engine.protocol import (
    Delta,
    Done,
    Finish,
    Generate,
    Prompt,
    Timing,
    Tokenized,
    TokenLogprob,
    Usage,
)
from famulus.engine.stream import Call
from famulus.lsp_server.server import create

URI = "file:///nowhere/a.py"
Message = dict[str, Any]


class Asked:
    """A request as the engine sees it. The test says what the model writes."""

    def __init__(self, request: Generate) -> None:
        self.request = request
        self.cancelled = False
        self.call = Call(request, self._cancel)

    def _cancel(self, call: Call) -> None:
        self.cancelled = True

    def say(self, *tokens: str, logprob: float = -0.05, index: int = 0) -> None:
        """The model writes some tokens, each with this log-probability."""
        for token in tokens:
            scored = [TokenLogprob(1, token, logprob)]
            self.call.deliver(Delta(self.request.id, token, index, 1, scored))

    def end(self) -> None:
        """The model ends all candidates."""
        for index in range(self.request.n):
            self.call.deliver(Finish(self.request.id, "stop", index))
        self.call.deliver(Done(self.request.id, "test", Usage(100, 99, 5), Timing(1, 2, 3)))

    def fail(self, error: FamulusError) -> None:
        """The request ends with an error."""
        self.call.fail(error)


class Engine:
    """Stands where :class:`famulus.lsp_server.link.EngineLink` stands; its calls are those of the real client."""

    def __init__(self) -> None:
        self.state, self.reason, self.model = "ready", "", {"id": "test"}
        self.home: Path | None = None
        self.asked: list[Asked] = []
        self.errors: list[FamulusError] = []
        self.listeners: list[Callable[[], None]] = []
        self._ids = count()

    def generate(self, prompt: Prompt, **fields: Any) -> Call:
        self.asked.append(Asked(Generate(str(next(self._ids)), prompt, **fields)))
        return self.asked[-1].call

    async def tokenize(self, text: str) -> Tokenized:
        words = text.split()
        return Tokenized("", list(range(len(words))), words)

    def lost(self, error: FamulusError) -> None:
        self.errors.append(error)

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def become(self, state: str) -> None:
        """Change the state, and tell who listens."""
        self.state = state
        for listener in self.listeners:
            listener()

    def start(self) -> None:
        """It runs."""

    def wake(self) -> None:
        """It is awake."""


class Desk:
    """An editor with one document at a server in the same loop."""

    def __init__(self, root: Path) -> None:
        self.engine = Engine()
        self.server = create(self.engine)  # type: ignore[arg-type]
        self.server.protocol.outlet = self
        self.root = root
        self.messages: list[Message] = []
        self.text, self.version = "", 0
        self._ids = count(1)

    # What the server's protocol needs of a way out.

    def send(self, body: bytes) -> None:
        self.messages.append(json.loads(body))

    def end(self) -> None:
        """The connection is over."""

    # What a test does.

    async def start(self, options: Message | None = None, settings: Message | None = None, ghost: bool = True) -> None:
        """Initialise. ``ghost``: the client knows inline completion."""
        text = {"inlineCompletion": {}} if ghost else {"completion": {}}
        given = {"famulus": options or {}, "settings": settings or {"statistics": {"enabled": False}}}
        await self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": self.root.as_uri(),
                "capabilities": {"textDocument": text},
                "initializationOptions": given,
            },
        )
        self.tell("initialized", {})
        await settle()

    def open(self, text: str, language: str = "python") -> None:
        """Show the document."""
        self.text, self.version = text, 1
        document = {"uri": URI, "languageId": language, "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": document})

    def type(self, text: str, at: int | None = None, delete: int = 0) -> None:
        """Insert before offset ``at`` (the end of the text), after taking ``delete`` characters before it away."""
        at = len(self.text) if at is None else at
        span = {"start": self.position(at - delete), "end": self.position(at)}
        self.version += 1
        self.text = self.text[: at - delete] + text + self.text[at:]
        document = {"uri": URI, "version": self.version}
        changes = {"textDocument": document, "contentChanges": [{"range": span, "text": text}]}
        self.tell("textDocument/didChange", changes)

    async def complete(self, at: int | None = None, invoked: bool = False) -> int:
        """Ask for ghost text at offset ``at`` (the end); the request's id."""
        at = len(self.text) if at is None else at
        context = {"triggerKind": 1 if invoked else 2}
        params = {"textDocument": {"uri": URI}, "position": self.position(at), "context": context}
        id = next(self._ids)
        self._receive({"id": id, "method": "textDocument/inlineCompletion", "params": params})
        await settle()
        return id

    async def shown(self, id: int) -> list[str] | None:
        """What an answered request shows; None while it is open."""
        await settle()
        answer = self.answer(id)
        if answer is None:
            return None
        result = answer.get("result") or {"items": []}
        return [item["insertText"] for item in result["items"]]

    async def settle(self) -> None:
        """Let everything that can go on go on."""
        await settle()

    def answer(self, id: int) -> Message | None:
        """The answer to a request, if it has come."""
        return next((m for m in self.messages if m.get("id") == id and "method" not in m), None)

    async def ask(self, method: str, params: Any) -> Any:
        """A request that is answered soon: its result."""
        return await self.result(self.begin(method, params))

    def begin(self, method: str, params: Any) -> int:
        """Send a request; its id."""
        id = next(self._ids)
        self._receive({"id": id, "method": method, "params": params})
        return id

    async def result(self, id: int) -> Any:
        """The result of a request that is answered soon."""
        for _ in range(200):
            await settle()
            if (answer := self.answer(id)) is not None:
                assert "error" not in answer, answer
                return answer["result"]
        raise AssertionError(f"request {id} is not answered")

    async def command(self, name: str, *arguments: Any) -> Any:
        """Run a command of the server."""
        return await self.ask("workspace/executeCommand", {"command": name, "arguments": list(arguments)})

    def tell(self, method: str, params: Any) -> None:
        """Send a notification."""
        self._receive({"method": method, "params": params})

    def asked(self, method: str) -> list[Message]:
        """The server's own requests of a kind."""
        return [m for m in self.messages if m.get("method") == method and "id" in m]

    def reply(self, request: Message, result: Any) -> None:
        """Answer a request of the server."""
        self._receive({"id": request["id"], "result": result})

    def told(self, method: str) -> list[Any]:
        """The parameters of the server's notifications of a kind."""
        return [m["params"] for m in self.messages if m.get("method") == method and "id" not in m]

    def position(self, offset: int) -> Message:
        """The protocol's position of an offset (the tests' texts are ASCII)."""
        before = self.text[:offset]
        return {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}

    async def close(self) -> None:
        """End the session."""
        await self.server.session.close()

    def _receive(self, message: Message) -> None:
        self.server.protocol.receive(json.dumps({"jsonrpc": "2.0", **message}).encode())


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
def at_desk(tmp_path: Path) -> Callable[..., None]:
    """Runs a coroutine function with a desk: ``at_desk(scene, options=…)``."""

    def run(scene: Callable[[Desk], Coroutine[Any, Any, None]], **start: Any) -> None:
        async def whole() -> None:
            desk = Desk(tmp_path)
            await desk.start(**start)
            try:
                await asyncio.wait_for(scene(desk), 20)
            finally:
                await desk.close()

        asyncio.run(whole())

    return run
