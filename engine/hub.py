"""Reading from a model hub that speaks Hugging Face's protocol: what a repository holds, and its bytes.

Plain HTTP, because every byte must survive a killed process: huggingface_hub 2.4 deletes what it fetched of a
file when it is interrupted. Its conventions are kept: ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE``, the
stored login, and the proxies of the environment. Protocol: "Hub API Endpoints" in the hub's documentation.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from famulus.engine.errors import DownloadFailed
from famulus.engine.folders import storage_failed

_BLOCK = 1 << 20
_MAX_LISTING = 32 << 20
_TIMEOUT = 30.0
"""Seconds without a byte before a connection counts as dead."""
_ATTEMPTS = 5
"""Failures in a row, without one new byte between them, before giving up."""
_KEPT = "What was fetched so far is kept: run the same command again."

_Transient = (urllib.error.URLError, http.client.HTTPException, OSError)


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository, with the digest that the hub gives: SHA-256, or git's for a small file."""

    name: str
    size: int
    sha256: str | None
    git_blob: str | None


@dataclass(frozen=True)
class Listing:
    """A repository at one ``commit``."""

    commit: str
    files: tuple[RemoteFile, ...]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but shows the token only to its own host and never leaves https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("https", old.scheme):
            raise urllib.error.URLError(f"refused a redirect from {old.scheme} to {new.scheme}")
        follow = super().redirect_request(req, fp, code, msg, headers, newurl)
        if follow is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            follow.remove_header("Authorization")
        return follow


class Hub:
    """A client of one hub. ``pause`` waits between attempts (seconds)."""

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """``endpoint`` and ``token`` default to what huggingface_hub finds in environment and login."""
        from huggingface_hub import constants, get_token

        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self.offline = constants.is_offline_mode()
        self._token = token or get_token()
        self._pause = pause
        self._opener = urllib.request.build_opener(_Redirects)

    def listing(self, repo: str, revision: str) -> Listing:
        """The files of ``repo``. Raises :class:`DownloadFailed`."""
        path = f"/api/models/{quote(repo)}/revision/{quote(revision, safe='')}?blobs=true"
        failures = 0
        while True:
            try:
                with self._open(path) as response:
                    body = response.read(_MAX_LISTING + 1)
                break
            except _Transient as error:
                failures += 1
                self._judge(error, repo, failures)
        try:
            if len(body) > _MAX_LISTING:
                raise ValueError("too long")
            fields = json.loads(body)
            return Listing(str(fields["sha"]), tuple(map(_remote_file, fields["siblings"])))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._no_hub() from error

    def fetch(
        self,
        repo: str,
        commit: str,
        file: RemoteFile,
        target: Path,
        progress: Callable[[int], None] | None = None,
    ) -> str:
        """Brings ``target`` to the content of ``file``, continuing what lies there, and returns its SHA-256.

        ``progress`` gets the bytes of this file that are there. Raises :class:`DownloadFailed` (what was
        fetched stays) and :class:`StorageFailed`.
        """
        path = f"/{quote(repo)}/resolve/{quote(commit, safe='')}/{quote(file.name)}"
        resumed = target.exists() and target.stat().st_size > 0
        while True:
            sink = _Sink(target, file)
            try:
                self._fill(path, repo, file, sink, progress)
            finally:
                sink.close()
            if sink.intact():
                return sink.sha256.hexdigest()
            target.unlink(missing_ok=True)
            if not resumed:
                raise DownloadFailed(
                    f"{file.name} of {repo} arrived with another content than the hub announced.",
                    fix="Try again; if it stays so, distrust the network or the mirror.",
                )
            resumed = False  # the part that lay there was of another revision: once more from the start

    def _fill(
        self, path: str, repo: str, file: RemoteFile, sink: _Sink, progress: Callable[[int], None] | None
    ) -> None:
        failures = 0
        while sink.at < file.size:
            before = sink.at
            try:
                with self._open(path, sink.at) as response:
                    if not (sink.at and _continues(response, sink.at)):
                        sink.restart()
                    while block := response.read(min(_BLOCK, file.size - sink.at)):
                        sink.write(block)
                        if progress is not None:
                            progress(sink.at)
                if sink.at < file.size:
                    raise http.client.IncompleteRead(b"", file.size - sink.at)
            except _Transient as error:
                if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                    return  # the hub's file ends before the size that it announced: not intact
                failures = 1 if sink.at > before else failures + 1
                self._judge(error, repo, failures)

    def _open(self, path: str, start: int = 0) -> http.client.HTTPResponse:
        if self.offline:
            raise DownloadFailed("HF_HUB_OFFLINE is set, so nothing is fetched.", fix="Unset it to download.")
        try:
            if urlsplit(self.endpoint).scheme not in ("http", "https"):
                raise ValueError("only http and https")
            request = urllib.request.Request(self.endpoint + path, headers={"User-Agent": "famulus"})
            request.add_header("Accept-Encoding", "identity")
            if self._token:
                request.add_header("Authorization", f"Bearer {self._token}")
            if start:
                request.add_header("Range", f"bytes={start}-")
            response: http.client.HTTPResponse = self._opener.open(request, timeout=_TIMEOUT)
        except ValueError as error:
            raise self._no_hub() from error
        return response

    def _no_hub(self) -> DownloadFailed:
        what = f"{self.endpoint} does not answer like a model hub."
        return DownloadFailed(what, fix="Check HF_ENDPOINT and your proxy.")

    def _judge(self, error: BaseException, repo: str, failures: int) -> None:
        """Waits before the next attempt where one makes sense, else raises."""
        wait = min(0.5 * 2**failures, 8.0)
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            if error.code in (401, 403):
                raise DownloadFailed(
                    f"{self.endpoint} does not give {repo} to you (HTTP {error.code}).",
                    fix=f"Accept its licence at {self.endpoint}/{repo} and set HF_TOKEN.",
                ) from error
            if error.code == 404:
                raise DownloadFailed(
                    f"{self.endpoint} has no {repo} of that name and revision (or you may not see it).",
                    fix="Check the name; a private model needs HF_TOKEN.",
                ) from error
            if error.code not in (408, 429) and error.code < 500:
                raise DownloadFailed(f"{self.endpoint} refused {repo} (HTTP {error.code}).") from error
            asked = error.headers.get("Retry-After", "")
            wait = min(float(asked), 60.0) if asked.isdigit() else wait
        if failures >= _ATTEMPTS:
            raise DownloadFailed(
                f"The model hub {self.endpoint} cannot be reached ({_reason(error)}).",
                fix=f"Check the network or set HF_ENDPOINT to a mirror. {_KEPT}",
            ) from error
        self._pause(wait)


class _Sink:
    """A file that grows, with the digests of all that it holds."""

    def __init__(self, target: Path, file: RemoteFile) -> None:
        self.target, self.file = target, file
        self.at = 0
        self._start_digests()
        try:
            self._handle = target.open("r+b" if target.exists() else "w+b")
            while block := self._handle.read(_BLOCK):
                self._count(block)
        except OSError as error:
            raise storage_failed(target, error) from error

    def _start_digests(self) -> None:
        self.sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % self.file.size, usedforsecurity=False)

    def _count(self, block: bytes) -> None:
        self.sha256.update(block)
        if self.file.sha256 is None:
            self._git.update(block)
        self.at += len(block)

    def write(self, block: bytes) -> None:
        try:
            self._handle.write(block)
        except OSError as error:
            raise storage_failed(self.target, error) from error
        self._count(block)

    def restart(self) -> None:
        if self.at:
            self._handle.seek(0)
            self._handle.truncate(0)
            self.at = 0
            self._start_digests()

    def close(self) -> None:
        try:
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
        except OSError as error:
            raise storage_failed(self.target, error) from error

    def intact(self) -> bool:
        if self.at != self.file.size:
            return False
        if self.file.sha256 is not None:
            return self.sha256.hexdigest() == self.file.sha256
        return self._git.hexdigest() == self.file.git_blob


def _remote_file(fields: dict[str, Any]) -> RemoteFile:
    lfs = fields.get("lfs") or {}
    size = lfs.get("size", fields.get("size"))
    sha256, blob = lfs.get("sha256"), fields.get("blobId")
    if type(size) is not int or size < 0 or not isinstance(sha256 or blob, str):
        raise ValueError("a file without size or digest")
    return RemoteFile(str(fields["rfilename"]), size, sha256, blob)


def _continues(response: http.client.HTTPResponse, at: int) -> bool:
    return response.status == 206 and (response.headers.get("Content-Range") or "").startswith(f"bytes {at}-")


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(inner, "strerror", None) or inner)[:200]
