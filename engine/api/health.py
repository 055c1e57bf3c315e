"""``/livez``, ``/readyz``, ``/metrics``, ``/v1/status``, ``/v1/shutdown``, ``/v1/switch``, ``/v1/models``: the
engine about itself."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from famulus.engine.api.answering import Json, error_response
from famulus.engine.api.services import Services
from famulus.engine.errors import EngineUnavailable
from famulus.engine.metrics import CONTENT_TYPE
from famulus.engine.protocol import ModelInfo


class SwitchBody(msgspec.Struct):
    """``model``: as in the settings."""

    model: Annotated[str, Meta(max_length=4096)]


class Health:
    """The routes that run no model."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[Route]:
        return [
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/v1/status", self.status),
            Route("/v1/shutdown", self.shutdown, methods=["POST"]),
            Route("/v1/switch", self.switch, methods=["POST"]),
            Route("/v1/models", self.models),
            Route("/v1/models/{id:path}", self.model),
        ]

    async def livez(self, request: Request) -> Response:
        """200 as long as this process answers at all; says nothing else, because it needs no token."""
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        """200 when a request would be worked on now, else 503 and the reason."""
        supervisor = self._services.supervisor
        if supervisor.state == "ready":
            return Json({"state": "ready"})
        return error_response(EngineUnavailable(supervisor.reason))

    async def metrics(self, request: Request) -> Response:
        """Prometheus text format."""
        return Response(self._services.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def status(self, request: Request) -> Response:
        """:class:`famulus.engine.protocol.Status`, at once and in every state."""
        return Json(self._services.status())

    async def shutdown(self, request: Request) -> Response:
        """Answers, then the engine leaves; running requests have some seconds to end."""
        self._services.stop()
        return Json({"state": "stopping"}, 202)

    async def switch(self, request: Request) -> Response:
        """Serves another model from now on, once it is loaded → its :class:`ModelInfo`. Requests that run end on the
        old one, which also stays where the new one cannot be loaded."""
        body = await self._services.reader.read(request, SwitchBody)
        return Json(await self._services.switch(body.model))

    async def models(self, request: Request) -> Response:
        """OpenAI's list, with the one model that is served; waits while it loads."""
        info = await self._services.model(None)
        return Json({"object": "list", "data": [self._describe(info)]})

    async def model(self, request: Request) -> Response:
        """One model by its name. Raises :class:`ModelNotFound`."""
        return Json(self._describe(await self._services.model(request.path_params["id"])))

    def _describe(self, info: ModelInfo) -> dict[str, Any]:
        return {
            "id": info.id,
            "object": "model",
            "created": self._services.created,
            "owned_by": "famulus",
            "max_model_len": info.context,
            "meta": info,
        }
