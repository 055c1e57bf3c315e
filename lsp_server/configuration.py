"""The settings of one session: asked from the client where it can be asked, else what it pushes or gave at the start.

Clients answer per workspace folder, so there is one set of values for each folder and one for the rest. A setting that
cannot be used is said once, by name; an unknown one is only logged.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from famulus.lsp_server import settings
from famulus.lsp_server.documents import Snapshot
from famulus.lsp_server.settings import Options, Settings

if TYPE_CHECKING:
    from famulus.lsp_server.server import FamulusServer
    from famulus.lsp_server.session import Session

log = logging.getLogger("famulus.lsp")

REST = ""
"""The scope of documents that lie in no workspace folder."""


class Configuration:
    """The session's settings. ``on_change`` is told after every change, also of the workspace's folders."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._first: object = None
        self._given: dict[str, object] = {}
        self._found: dict[tuple[str, str], Settings] = {}
        self._said: set[tuple[str, str]] = set()
        self.on_change: list[Callable[[], None]] = []

    def for_document(self, snapshot: Snapshot) -> Settings:
        """What holds for a document. Cheap; no need to keep the answer."""
        return self._settings(self._scope(snapshot), snapshot.language)

    @property
    def general(self) -> Settings:
        """What holds where no document is looked at."""
        return self._settings(REST, "")

    def start(self, params: types.InitializeParams) -> Options:
        """Take what the client said while initialising."""
        given = params.initialization_options
        if not isinstance(given, dict):
            return Options()
        self._first = settings.section(given.get("settings"))
        said = given.get("famulus")
        known = {field.encode_name for field in msgspec.structs.fields(Options)}
        options = {key: value for key, value in said.items() if key in known} if isinstance(said, dict) else {}
        return settings.merge(Options(), options, self._report, "initializationOptions.famulus")

    def pushed(self, given: object) -> None:
        """The client sent its settings, or only word that they changed."""
        if self._can_ask:
            self._session.spawn(self.ask())
            return
        if given is not None:
            self._given = {REST: settings.section(given)}
        self._changed()

    async def ask(self) -> None:
        """Ask the client for its settings, those of each folder."""
        if not self._can_ask:
            self._changed()
            return
        scopes = [REST, *self._session.server.workspace.folders]
        folders = self._session.server.workspace.folders
        items = [types.ConfigurationItem(folders[scope].uri if scope else None, settings.SECTION) for scope in scopes]
        with contextlib.suppress(JsonRpcException):
            answer = await self._session.server.workspace_configuration_async(types.ConfigurationParams(items))
            self._given = dict(zip(scopes, answer or [], strict=False))
        self._changed()

    async def register(self) -> None:
        """Ask to be told of changes, where clients want to be asked for that."""
        workspace = self._session.server.client_capabilities.workspace
        able = workspace.did_change_configuration if workspace is not None else None
        if able is None or not able.dynamic_registration:
            return
        method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
        options = types.DidChangeConfigurationRegistrationOptions(settings.SECTION)
        registration = types.Registration("famulus-settings", method, options)
        with contextlib.suppress(JsonRpcException):
            await self._session.server.client_register_capability_async(types.RegistrationParams([registration]))

    @property
    def _can_ask(self) -> bool:
        workspace = self._session.server.client_capabilities.workspace
        return bool(workspace is not None and workspace.configuration)

    def _changed(self) -> None:
        self._found.clear()
        _ = self.general  # says now what is wrong
        for listener in self.on_change:
            listener()

    def _scope(self, snapshot: Snapshot) -> str:
        folder = self._session.folder_of(snapshot.uri)
        return folder if folder in self._given else REST

    def _settings(self, scope: str, language: str) -> Settings:
        found = self._found.get((scope, language))
        if found is None:
            found = Settings()
            for given in (self._first, self._given.get(scope)):
                found = settings.merge(found, given, self._report)
                found = settings.for_language(found, given, language, self._report)
            self._found[scope, language] = found
        return found

    def _report(self, name: str, wrong: str) -> None:
        if (name, wrong) in self._said:
            return
        self._said.add((name, wrong))
        if not wrong:
            log.warning("there is no setting %s", name)
            return
        message = f"The setting {name} cannot be used: {wrong}. Its default holds; docs/settings.md lists all settings."
        self._session.server.window_show_message(types.ShowMessageParams(types.MessageType.Warning, message))


def bind(server: FamulusServer) -> None:
    """Registers what tells of settings."""
    session = server.session
    session.settings = Configuration(session)

    def started() -> None:
        session.spawn(session.settings.register())
        session.spawn(session.settings.ask())

    session.on_start.append(started)
    session.on_roots.append(lambda: session.settings.pushed(None))

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def changed(params: types.DidChangeConfigurationParams) -> None:
        session.settings.pushed(params.settings)
