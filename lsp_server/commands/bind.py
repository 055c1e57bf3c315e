"""Binds the commands, and the code actions that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from famulus.engine.errors import FamulusError
from famulus.lsp_server.actions import wanted
from famulus.lsp_server.commands import doc_comment, docstring
from famulus.lsp_server.commands.pages import Page
from famulus.lsp_server.commands.preview import DISCARD
from famulus.lsp_server.commands.service import Commands
from famulus.lsp_server.documents import Document
from famulus.lsp_server.prediction.publishing import SOURCE
from famulus.lsp_server.session import Session

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer

MOST_FIXES = 3


def bind(server: FamulusServer) -> None:
    """Register everything a user asks for by name."""
    commands = Commands(server.session)

    @server.command("famulus.explain")
    async def explain(uri: str, place: types.Range) -> Page | None:
        return await commands.explain(uri, place)

    @server.command("famulus.docstring")
    async def document_it(uri: str, position: types.Position) -> None:
        await commands.docstring(uri, position)

    @server.command("famulus.rewrite")
    async def rewrite(uri: str, place: types.Range, instruction: str) -> None:
        await commands.rewrite(uri, place, instruction)

    @server.command("famulus.fix")
    async def fix(uri: str, diagnostic: types.Diagnostic) -> None:
        await commands.fix(uri, diagnostic)

    @server.command("famulus.commitMessage")
    async def commit_message(*root: str) -> Page | None:
        return await commands.commit_message(next(iter(root), None))

    @server.feature(DISCARD)
    def discard(params: Any) -> None:
        id = getattr(params, "id", None)
        if isinstance(id, str):
            commands.discard(id)

    async def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        return offered(server.session, params)

    server.session.code_actions.append(actions)


def offered(session: Session, params: types.CodeActionParams) -> list[types.CodeAction]:
    """Fix what is wrong here, explain what is selected, document the definition at the cursor."""
    document = session.document(params.text_document.uri)
    if document is None or not session.policy.check_uri(document.uri).allowed:
        return []
    uri, only = document.uri, params.context.only
    found: list[types.CodeAction] = []
    if wanted(types.CodeActionKind.QuickFix.value, only):
        for diagnostic in worth_fixing(params.context.diagnostics)[:MOST_FIXES]:
            title = f"Famulus: fix {diagnostic.message.splitlines()[0][:60]}"
            found.append(_action(title, types.CodeActionKind.QuickFix, "famulus.fix", [uri, diagnostic]))
            found[-1].diagnostics = [diagnostic]
    if wanted(types.CodeActionKind.RefactorRewrite.value, only):
        kind = types.CodeActionKind.RefactorRewrite
        if params.range.start != params.range.end:
            found.append(_action("Famulus: explain the selection", kind, "famulus.explain", [uri, params.range]))
        elif _undocumented(session, document, params.range.start):
            title = f"Famulus: write a doc{'string' if document.language_id == 'python' else ' comment'}"
            found.append(_action(title, kind, "famulus.docstring", [uri, params.range.start]))
    return found


def worth_fixing(diagnostics: Sequence[types.Diagnostic]) -> list[types.Diagnostic]:
    """Errors and warnings, the first of each message; those of the review have remedies of their own."""
    severe = (types.DiagnosticSeverity.Error, types.DiagnosticSeverity.Warning, None)
    worth = [d for d in diagnostics if d.severity in severe and d.message and not (d.source == SOURCE and d.data)]
    return list({d.message: d for d in reversed(worth)}.values())[::-1]


def _action(title: str, kind: types.CodeActionKind, command: str, arguments: list[Any]) -> types.CodeAction:
    return types.CodeAction(title, kind, command=types.Command(title, command, arguments=arguments))


def _undocumented(session: Session, document: Document, position: types.Position) -> bool:
    offset = document.offset_at(position)
    try:
        if document.language_id == "python":
            docstring.place_for(document.text, offset)
        elif document.language_id in doc_comment.FORMS and (tree := session.trees.tree(document)) is not None:
            doc_comment.place_for(tree, offset)
        else:
            return False
    except FamulusError:
        return False
    return True
