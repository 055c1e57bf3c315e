"""JSON-RPC for one client, on pygls's features: every request is answered exactly once, whatever arrives.

pygls reads messages as if they were always right, logs what they hold, falls silent after ``shutdown``, and ends the
whole process at ``exit``. Here wrong messages are answered with the codes of the specification, no text of a user's
reaches a log, and ``exit`` ends one connection.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Protocol

from lsprotocol import types
from lsprotocol.validators import UINTEGER_MAX_VALUE
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcParseError,
    JsonRpcRequestCancelled,
    JsonRpcServerNotInitialized,
)
from pygls.feature_manager import is_thread_function
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, LanguageServerProtocol, lsp_method

from famulus.engine.errors import FamulusError
from famulus.lsp_server import handshake
from famulus.lsp_server.leniency import leave_out

if TYPE_CHECKING:
    from cattrs import Converter

    from famulus.lsp_server.server import FamulusServer

log = logging.getLogger("famulus.lsp")

MAX_OPEN = 512
"""Requests of one client that may be open; the next one is answered with an error."""


LENIENT = 4
"""Rounds in which something is left out of ``initialize``: what holds something wrong may need it."""


class Outlet(Protocol):
    """Where the bodies of messages go."""

    def send(self, body: bytes) -> None:
        """Queue one message."""

    def end(self) -> None:
        """Close the connection when all that was queued is written."""


class RequestFailed(JsonRpcException):
    """A request that could not be done, with one sentence for the user."""

    CODE = types.LSPErrorCodes.RequestFailed.value


class TooManyRequests(JsonRpcException):
    """A client that asks faster than it can be answered."""

    CODE = types.LSPErrorCodes.ServerCancelled.value
    MESSAGE = f"More than {MAX_OPEN} requests are open."


class FamulusProtocol(LanguageServerProtocol):
    """One client's messages, in and out."""

    def __init__(self, server: FamulusServer, converter: Converter) -> None:
        super().__init__(server, converter)
        self.outlet: Outlet | None = None
        self.exit_status: int | None = None
        """Set by ``exit``: 0 after an orderly ``shutdown``, else 1."""
        self.greeted: Callable[[], bool] = lambda: False
        """Whether ``initialize`` was answered before it came here."""
        self._initialized = False
        self._running: dict[int | str, asyncio.Future[Any]] = {}

    def receive(self, body: bytes) -> None:
        """Take one message. Raises nothing: what is wrong is answered."""
        if self.exit_status is not None:
            return
        try:
            message = json.loads(body.decode(), parse_constant=handshake.no_constant)
        except (ValueError, RecursionError):
            self._refuse(None, JsonRpcParseError())
            return
        if not isinstance(message, dict) or message.get("jsonrpc") != self.VERSION:
            self._refuse(_id_of(message), JsonRpcInvalidRequest())
            return
        try:
            # Each message has a context of its own, where its id stands.
            contextvars.copy_context().run(self._dispatch, message)
        except Exception:
            log.exception("a message could not be taken")
            if "method" in message and "id" in message:
                self._refuse(_id_of(message), JsonRpcInternalError())

    def _dispatch(self, message: dict[str, Any]) -> None:
        method, id = message.get("method"), _id_of(message)
        if "method" not in message and ("result" in message or "error" in message):
            self._take_answer(id, message)
        elif not isinstance(method, str) or ("id" in message and id is None):
            self._refuse(id, JsonRpcInvalidRequest())
        elif id is not None:
            self._take_request(id, method, message)
        else:
            self._take_notification(method, message)

    def _take_request(self, id: int | str, method: str, message: dict[str, Any]) -> None:
        try:
            if self._shutdown:
                raise JsonRpcInvalidRequest("The server is shutting down.")
            if self._initialized == (method == types.INITIALIZE):
                raise JsonRpcInvalidRequest() if self._initialized else JsonRpcServerNotInitialized()
            if len(self._running) >= MAX_OPEN:
                raise TooManyRequests()
            handler = self._handler(method)
            params = self._params(method, message, JsonRPCRequestMessage)
        except JsonRpcException as error:
            if method == types.INITIALIZE and not self._initialized and self.greeted():
                self._part(error)
            else:
                self._refuse(id, error)
            return
        self._ctx_msg_id.set(id)
        future = self._begin(handler, params)
        if not self._initialized:
            self._initialized = True
            future.add_done_callback(lambda future: self._welcome(id, message["params"]["capabilities"], future))
        else:
            self._running[id] = future
            future.add_done_callback(lambda future: self._answer(id, future))

    def _welcome(self, id: int | str, client: dict[str, Any], future: asyncio.Future[Any]) -> None:
        """Answer ``initialize``, unless that was done."""
        error = future.exception()
        if error is not None and self.greeted():
            self._part(error)
        elif error is not None:
            self._answer(id, future)
        elif not self.greeted():
            try:
                self._send_response(id, result=handshake.result(client))
            except (AttributeError, TypeError):  # pygls takes an empty list for an object without fields
                self._refuse(id, JsonRpcInvalidParams())

    def _part(self, error: BaseException) -> None:
        """A client was told that it is served, and cannot be: one that said something wrong of itself."""
        log.error("the connection ends, for initialize cannot be understood: %s", error)
        if self.outlet is not None:
            self.outlet.end()

    def _take_notification(self, method: str, message: dict[str, Any]) -> None:
        if method != types.EXIT and (self._shutdown or not self._initialized):
            return
        try:
            params = self._params(method, message, JsonRPCNotification)
            if method == types.CANCEL_REQUEST:
                self._handle_cancel_notification(params.id)
                return
            handler = self._handler(method)
        except JsonRpcMethodNotFound:
            return
        except JsonRpcException:
            log.warning("a notification %s has wrong parameters", method)
            return
        self._begin(handler, params).add_done_callback(_check)

    def _handler(self, method: str) -> Callable[..., Any]:
        """Raises :class:`JsonRpcMethodNotFound`."""
        found = self.fm.builtin_features.get(method) or self.fm.features.get(method)
        if found is None:
            raise JsonRpcMethodNotFound.of(method[:100])
        handler: Callable[..., Any] = found
        return handler

    def _params(self, method: str, message: dict[str, Any], plain: type[Any]) -> Any:
        """The typed parameters. Raises :class:`JsonRpcInvalidParams`."""
        kind = self.get_message_type(method) or plain
        known = {"jsonrpc": self.VERSION, "method": method, "params": message.get("params")}
        if "id" in message:
            known["id"] = message["id"]
        if known["params"] is None and kind is not plain and method != types.INITIALIZED:
            del known["params"]
        elif known["params"] is None and method == types.INITIALIZED:
            known["params"] = {}
        try:
            return self._structured(known, kind)
        except RecursionError as error:
            raise JsonRpcInvalidParams() from error

    def _structured(self, known: dict[str, Any], kind: type[Any]) -> Any:
        try:
            return self._converter.structure(known, kind).params
        except Exception as error:
            if kind is types.InitializeRequest:
                return self._understood(known, error)
            # "To the end" is written as a number that is no uinteger by some clients; losing an edit is worse.
            if not _clamp(known.get("params")):
                raise JsonRpcInvalidParams() from None
        try:
            return self._converter.structure(known, kind).params
        except Exception:
            raise JsonRpcInvalidParams() from None

    def _understood(self, known: dict[str, Any], error: Exception) -> types.InitializeParams:
        """What can be understood of a client, if the answer to it is still the same."""
        rest = copy.deepcopy(known)
        for _ in range(LENIENT):
            if not (places := leave_out(rest, error)):
                break
            log.warning("left out of what the client says of itself: %s", ", ".join(places))
            try:
                found = self._converter.structure(rest, types.InitializeRequest).params
                same = handshake.result(known["params"]["capabilities"])
                if handshake.result(rest["params"]["capabilities"]) == same:
                    return found
                break
            except Exception as further:
                error = further
        raise JsonRpcInvalidParams()

    def _begin(self, handler: Callable[..., Any], params: Any) -> asyncio.Future[Any]:
        """Run a handler as far as it goes without waiting; the future holds what comes of it."""
        loop = asyncio.get_running_loop()
        try:
            result = self._call(handler, (params,), {})
        except Exception as error:
            done: asyncio.Future[Any] = loop.create_future()
            done.set_exception(error)
            return done
        if inspect.isawaitable(result):
            return asyncio.ensure_future(result)
        done = loop.create_future()
        done.set_result(result)
        return done

    def _call(self, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The handler's result, or something to await. pygls's own handlers are generators that yield the next one."""
        if is_thread_function(handler):  # type: ignore[no-untyped-call]
            return asyncio.wrap_future(self._server.thread_pool.submit(handler, *args, **kwargs))
        if not inspect.isgeneratorfunction(handler):
            return handler(*args, **kwargs)
        steps = handler(*args, **kwargs)
        result = None
        while True:
            try:
                inner, inner_args, inner_kwargs = steps.send(result)
            except StopIteration as stop:
                return stop.value
            result = self._call(inner, inner_args or (), inner_kwargs or {})
            if inspect.isawaitable(result):
                return self._go_on(steps, result)

    async def _go_on(self, steps: Generator[Any, Any, Any], waits: Awaitable[Any]) -> Any:
        """The rest of a handler of pygls, one of whose steps has to be awaited: cancelling this cancels that."""
        result = await waits
        while True:
            try:
                inner, args, kwargs = steps.send(result)
            except StopIteration as stop:
                return stop.value
            result = self._call(inner, args or (), kwargs or {})
            if inspect.isawaitable(result):
                result = await result

    def _answer(self, id: int | str, future: asyncio.Future[Any]) -> None:
        if self._running.get(id) is future:
            del self._running[id]
        if future.cancelled():
            self._refuse(id, JsonRpcRequestCancelled())
            return
        error = future.exception()
        if error is None:
            self._send_response(id, result=future.result())
        elif isinstance(error, JsonRpcException):
            self._refuse(id, error)
        elif isinstance(error, FamulusError):
            self._refuse(id, RequestFailed(str(error)))
        else:
            log.error("a request failed", exc_info=error)
            self._refuse(id, JsonRpcInternalError())

    def _refuse(self, id: int | str | None, error: JsonRpcException) -> None:
        self._send_data(_error(id, error))

    def _take_answer(self, id: int | str | None, message: dict[str, Any]) -> None:
        """The client answers a request of ours."""
        kind = self._result_types.pop(id, None) if id is not None else None
        future = self._request_futures.pop(id, None) if id is not None else None
        if future is None or future.done():
            return
        try:
            if message.get("error") is not None:
                error = self._converter.structure(message["error"], types.ResponseError)
                future.set_exception(JsonRpcException.from_error(error))
            elif kind is None or message["result"] is None:
                future.set_result(message["result"])
            else:
                future.set_result(self._converter.structure({**message, "id": id}, kind).result)
        except Exception as error:
            if not future.done():
                future.set_exception(RequestFailed(f"The client's answer cannot be read ({type(error).__name__})."))

    def _handle_cancel_notification(self, msg_id: int | str) -> None:
        future = self._running.get(msg_id) if isinstance(msg_id, int | str) else None
        if future is not None:
            future.cancel()

    def _send_data(self, data: Any) -> None:
        if self.outlet is None:
            return
        try:
            body = json.dumps(data, default=self._serialize_message, separators=(",", ":")).encode()
        except (TypeError, ValueError, AttributeError):
            log.exception("a message cannot be written")
            id = getattr(data, "id", None)
            if id is None or hasattr(data, "method"):
                return
            body = json.dumps(_error(id, JsonRpcInternalError())).encode()
        self.outlet.send(body)

    def lose(self) -> None:
        """The connection is gone: nothing is answered any more, and nobody waits for the client."""
        self.outlet = None
        self._cancel_running()
        for waiting in list(self._request_futures.values()):
            waiting.cancel()
        self._request_futures.clear()

    def _cancel_running(self) -> None:
        for id, future in list(self._running.items()):
            if id != self.msg_id:
                future.cancel()

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> Generator[Any, Any, None]:
        """Cancels what runs; from now on only ``exit`` is heard."""
        self._shutdown = True
        self._cancel_running()
        if (handler := self.fm.features.get(types.SHUTDOWN)) is not None:
            yield handler, args, None

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    def lsp_workspace__execute_command(self, params: types.ExecuteCommandParams) -> Generator[Any, Any, Any]:
        """Runs a command. Raises :class:`JsonRpcInvalidParams` where it or its arguments do not exist."""
        params.arguments = params.arguments or []  # only then are they counted
        return (yield from super().lsp_workspace__execute_command(params))

    @lsp_method(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def lsp_work_done_progress_cancel(self, params: types.WorkDoneProgressCancelParams) -> None:
        """Cancels what the token stands for; it may have ended meanwhile."""
        future = self.progress.tokens.get(params.token) if isinstance(params.token, int | str) else None
        if future is not None:
            future.cancel()

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> None:  # type: ignore[override]
        """Ends this connection, not the process."""
        self.exit_status = 0 if self._shutdown else 1
        if self.outlet is not None:
            self.outlet.end()


def _check(future: asyncio.Future[Any]) -> None:
    """Log what went wrong with a notification, to which nobody can be answered."""
    error = None if future.cancelled() else future.exception()
    if isinstance(error, FamulusError | JsonRpcException):
        log.warning("a notification was left aside: %s", error)
    elif error is not None:
        log.error("a notification failed", exc_info=error)


def _id_of(message: object) -> int | str | None:
    id = message.get("id") if isinstance(message, dict) else None
    return id if isinstance(id, int | str) and not isinstance(id, bool) else None


def _clamp(value: Any) -> bool:
    """Take positions into the range that they may have; whether there were any outside."""
    found = False
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for inner in inside:
        found = _clamp(inner) or found
    if isinstance(value, dict) and value.keys() == {"line", "character"}:
        for name, number in value.items():
            if isinstance(number, int | float) and not 0 <= number <= UINTEGER_MAX_VALUE:
                value[name], found = 0 if number < 0 else UINTEGER_MAX_VALUE, True
    return found


def _error(id: int | str | None, error: JsonRpcException) -> dict[str, Any]:
    """An answer as plain JSON: lsprotocol would leave out an id that is null, which the specification asks for."""
    return {"jsonrpc": "2.0", "id": id, "error": {"code": error.code, "message": error.message}}
