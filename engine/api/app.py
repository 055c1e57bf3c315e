"""All routes behind the gate: the ASGI application of the server."""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from famulus.engine.api.answering import error_response
from famulus.engine.api.chat import ChatCompletions
from famulus.engine.api.completions import Completions
from famulus.engine.api.embeddings import Embeddings
from famulus.engine.api.health import Health
from famulus.engine.api.infill import Infilling
from famulus.engine.api.native import Native
from famulus.engine.api.services import Services
from famulus.engine.api.streams import Streams
from famulus.engine.errors import FamulusError, InvalidRequest
from famulus.engine.gate import Access, Gate
from famulus.engine.metrics import Metrics

log = logging.getLogger("famulus.api")


class NotFound(InvalidRequest):
    """No such route, or not with this method."""

    code, status = "not_found", 404


class MethodNotAllowed(InvalidRequest):
    """The route exists, with other methods."""

    code, status = "method_not_allowed", 405


def routes_app(services: Services) -> Starlette:
    """The routes without the gate."""
    app = Starlette(
        routes=[
            *Health(services).routes(),
            *Native(services).routes(),
            *Completions(services).routes(),
            *ChatCompletions(services).routes(),
            *Embeddings(services).routes(),
            *Infilling(services).routes(),
            *Streams(services).routes(),
        ],
        exception_handlers={FamulusError: _famulus_error, HTTPException: _http_error, Exception: _unexpected},
    )
    app.router.redirect_slashes = False
    return app


def application(services: Services, access: Access) -> ASGIApp:
    """What uvicorn serves: counted, guarded, routed."""
    return Counted(Gate(routes_app(services), access), services.metrics)


class Counted:
    """Counts answers by status, refusals included."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                self._metrics.http.labels(str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counting)


async def _famulus_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FamulusError)
    return error_response(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    where = f"{request.method[:16]} {request.url.path[:80]}"
    if error.status_code == 405:
        return error_response(MethodNotAllowed(f"{where} is not allowed.", fix="See the list of routes in the docs."))
    if error.status_code == 404:
        return error_response(NotFound(f"There is no {where}."))
    return error_response(InvalidRequest(str(error.detail)))


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises it again for uvicorn, which logs type and stack; the words could quote a prompt.
    return error_response(FamulusError("The server failed on this request.", fix="engine.log has the place."))
