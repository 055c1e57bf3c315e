"""A model hub on loopback that speaks Hugging Face's protocol, and can misbehave as networks do.

Kept honest by a test that runs the real ``huggingface_hub`` client against it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 1024
"""Files from this size on are "LFS": served from the second host by a redirect, with a SHA-256."""


@dataclass
class Repo:
    """Content by name, at one commit. ``gated``: needs the token."""

    files: dict[str, bytes]
    commit: str = "c" * 40
    gated: bool = False


@dataclass
class Request:
    """What a client asked: host ("hub" or "cdn"), method, path, the headers that matter here."""

    host: str
    method: str
    path: str
    range: str | None
    authorized: bool


@dataclass
class HubStandin:
    """Use as a context manager; ``url`` is the endpoint.

    ``cut``: called with (path, first byte) of each large GET; a number ends that answer after so many bytes,
    as a dropped connection does. ``status``: called with the path; a number answers with that HTTP status.
    ``gate``: waited for after half of each large answer was sent.
    """

    repos: dict[str, Repo]
    token: str = "hf_secret"
    cut: Callable[[str, int], int | None] = lambda path, start: None
    status: Callable[[str], int | None] = lambda path: None
    ranges: bool = True
    gate: threading.Event | None = None
    log: list[Request] = field(default_factory=list)
    half_sent: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> HubStandin:
        self._servers = [self._serve("hub"), self._serve("cdn")]
        self.url, self.cdn = (f"http://127.0.0.1:{s.server_address[1]}" for s in self._servers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.gate is not None:
            self.gate.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, host: str) -> ThreadingHTTPServer:
        standin = self

        class Handler(_Handler):
            hub = standin
            name = host

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def gets(self, name: str) -> list[Request]:
        """The GET requests for the bytes of one file."""
        last = "/" + (digest(self.content(name)) if len(self.content(name)) >= LARGE else name)
        return [r for r in self.log if r.method == "GET" and r.path.endswith(last)]

    def content(self, name: str) -> bytes:
        return next(repo.files[name] for repo in self.repos.values() if name in repo.files)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubStandin
    name: str

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        authorized = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        self.hub.log.append(Request(self.name, self.command, path, self.headers.get("Range"), authorized))
        status = self.hub.status(path)
        if status is not None:
            return self._send(status, b"", {})
        if self.name == "cdn":
            found = [c for r in self.hub.repos.values() for c in r.files.values() if path == "/" + digest(c)]
            return self._bytes(found[0], path) if found else self._send(404, b"", {})
        parts = path.strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repo = self.hub.repos.get("/".join(parts[2:4] if api else parts[:2]))
        if repo is None:
            return self._send(404, b"Repository not found", {"X-Error-Code": "RepoNotFound"})
        if repo.gated and not authorized:
            return self._send(403, b"Gated", {"X-Error-Code": "GatedRepo"})
        if api:
            return self._listing(repo, parts)
        return self._resolve(repo, parts, path)

    def _listing(self, repo: Repo, parts: list[str]) -> None:
        if parts[4] == "revision" and parts[5] not in ("main", repo.commit):
            return self._send(404, b"Revision", {"X-Error-Code": "RevisionNotFound"})
        siblings = [sibling(name, content) for name, content in repo.files.items()]
        body = {
            "id": "/".join(parts[2:4]),
            "sha": repo.commit,
            "siblings": siblings,
            "tags": [],
            "downloads": 0,
        }
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return None

    def _resolve(self, repo: Repo, parts: list[str], path: str) -> None:
        content = repo.files.get("/".join(parts[4:]))
        if parts[3] not in ("main", repo.commit) or content is None:
            return self._send(404, b"Entry", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repo.commit})
        headers = {"X-Repo-Commit": repo.commit}
        if len(content) >= LARGE:
            sha = digest(content)
            headers |= {"Location": f"{self.hub.cdn}/{sha}", "X-Linked-Size": str(len(content))}
            return self._send(302, b"", headers | {"X-Linked-ETag": f'"{sha}"'})
        return self._bytes(content, path, headers | {"ETag": f'"{git_blob(content)}"'})

    def _bytes(self, content: bytes, path: str, headers: dict[str, str] | None = None) -> None:
        asked, start, status = self.headers.get("Range"), 0, 200
        headers = dict(headers or {})
        if asked and self.hub.ranges:
            start, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
            if start >= len(content):
                return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        limit = self.hub.cut(path, start) if self.name == "cdn" and self.command == "GET" else None
        self._send(status, content[start:], headers, limit)
        return None

    def _send(self, status: int, body: bytes, headers: dict[str, str], limit: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            if self.hub.gate is not None and self.name == "cdn":
                half = len(body) // 2
                self.wfile.write(body[:half])
                self.wfile.flush()
                self.hub.half_sent.set()
                self.hub.gate.wait()
                body = body[half:]
            self.wfile.write(body if limit is None else body[:limit])
            if limit is not None:
                self.close_connection = True
                self.connection.shutdown(1)
        except OSError:
            self.close_connection = True  # the client went away


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sibling(name: str, content: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_blob(content)}
    if len(content) >= LARGE:
        pointer = b"version https://git-lfs.github.com/spec/v1\n"
        fields["blobId"] = git_blob(pointer)
        fields["lfs"] = {"sha256": digest(content), "size": len(content), "pointerSize": 134}
    return fields
