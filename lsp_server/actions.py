"""``textDocument/codeAction``: one feature, to which the services of a session add what they can do.

A provider is told what is asked and answers with its actions; they are shown in the order in which the providers were
added to ``session.code_actions``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from lsprotocol import types

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer

log = logging.getLogger("famulus.lsp")

Provider = Callable[[types.CodeActionParams], Awaitable[list[types.CodeAction]]]

KINDS = (types.CodeActionKind.QuickFix, types.CodeActionKind.RefactorRewrite, types.CodeActionKind.Source)


def wanted(kind: str, only: Sequence[types.CodeActionKind | str] | None) -> bool:
    """Whether an editor that asks for ``only`` these kinds (None: all) wants one of ``kind``."""
    if only is None:
        return True
    asked = [str(getattr(o, "value", o)) for o in only]
    return any(not o or kind == o or kind.startswith(o + ".") for o in asked)


async def collect(providers: Sequence[Provider], params: types.CodeActionParams) -> list[types.CodeAction]:
    """The actions of all providers that the editor asked for. One that fails is logged and leaves the others alone."""
    answers = await asyncio.gather(*(provider(params) for provider in providers), return_exceptions=True)
    found: list[types.CodeAction] = []
    for answer in answers:
        if isinstance(answer, Exception):
            log.error("a provider of code actions failed", exc_info=answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found += answer
    only = params.context.only
    return [action for action in found if wanted(str(getattr(action.kind, "value", action.kind) or ""), only)]


def bind(server: FamulusServer) -> None:
    """Registers the feature."""
    session = server.session

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=list(KINDS)))
    async def code_action(params: types.CodeActionParams) -> list[types.CodeAction] | None:
        return await collect(session.code_actions, params) or None
