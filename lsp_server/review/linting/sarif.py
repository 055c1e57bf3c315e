"""Reads SARIF 2.1.0, the reports of other tools (OASIS Standard, 27 March 2020)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from famulus.engine.errors import FamulusError
from famulus.lsp_server.review.finding import Severity
from famulus.lsp_server.review.linting.newly import Remark

_LARGEST = 100 * 2**20
_SEVERITIES: dict[str, Severity] = {"error": "error", "warning": "warning", "note": "note", "none": "note"}


class SarifUnreadable(FamulusError):
    """A report of another tool cannot be read."""

    code, status = "sarif_unreadable", 422


def read(path: Path, root: Path | None = None) -> list[Remark]:
    """The results of a SARIF file; suppressed, absent and passed ones are left out.

    ``root``: paths are taken relative to it. Raises :class:`SarifUnreadable`.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise SarifUnreadable(f"{path} is too large to be read (over 100 MiB).", fix="Split the report.")
        document = json.loads(path.read_bytes().decode("utf-8-sig"))
        if not isinstance(document, dict) or not isinstance(document.get("runs"), list):
            raise SarifUnreadable(f"{path} is no SARIF file: it has no list `runs`.", fix="Give a SARIF 2.1.0 file.")
        return [remark for run in document["runs"] for remark in _run(run, root)]
    except OSError as error:
        raise SarifUnreadable(f"{path} cannot be read: {error.strerror}.", fix="Check the path.") from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise SarifUnreadable(f"{path} is no valid SARIF file ({error}).", fix="Give a SARIF 2.1.0 file.") from error


def _run(run: dict[str, Any], root: Path | None) -> Iterator[Remark]:
    driver = run["tool"]["driver"]
    rules: list[dict[str, Any]] = driver.get("rules") or []
    by_id = {rule["id"]: rule for rule in rules if "id" in rule}
    for result in run.get("results") or []:
        hidden = any(s.get("status", "accepted") == "accepted" for s in result.get("suppressions") or [])
        if hidden or result.get("baselineState") == "absent" or result.get("kind", "fail") != "fail":
            continue
        index = result.get("ruleIndex", (result.get("rule") or {}).get("index", -1))
        rule = rules[index] if isinstance(index, int) and 0 <= index < len(rules) else {}
        code = str(result.get("ruleId") or (result.get("rule") or {}).get("id") or rule.get("id") or "unnamed")
        rule = rule or by_id.get(code, {})
        place = _place(result, run, root)
        if place is None:
            continue
        path, region = place
        level = result.get("level") or (rule.get("defaultConfiguration") or {}).get("level") or "warning"
        marks = {**(result.get("partialFingerprints") or {}), **(result.get("fingerprints") or {})}
        yield Remark(
            tool=str(driver["name"]),
            code=code,
            message=_message(result.get("message") or {}, rule).rstrip("."),
            path=path,
            line=int(region.get("startLine", 1)),
            column=int(region.get("startColumn", 1)),
            end_line=region.get("endLine"),
            end_column=region.get("endColumn"),
            severity=_SEVERITIES.get(str(level), "warning"),
            url=str(rule.get("helpUri") or ""),
            marks=frozenset((str(k), str(v)) for k, v in marks.items()),
            data={"baselineState": str(result["baselineState"])} if "baselineState" in result else {},
        )


def _message(message: dict[str, Any], rule: dict[str, Any]) -> str:
    text = message.get("text") or message.get("markdown")
    if not text:
        known = (rule.get("messageStrings") or {}).get(message.get("id", "")) or rule.get("shortDescription") or {}
        text = known.get("text") or rule.get("id") or "A remark without text"
    for number, argument in enumerate(message.get("arguments") or []):
        text = text.replace(f"{{{number}}}", str(argument))
    return " ".join(str(text).split())


def _place(result: dict[str, Any], run: dict[str, Any], root: Path | None) -> tuple[str, dict[str, Any]] | None:
    """The path, relative to the project, and the region of a result; None if it is about no file of the project."""
    locations = result.get("locations") or []
    physical = (locations[0].get("physicalLocation") or {}) if locations else {}
    artifact = physical.get("artifactLocation") or {}
    if "uri" not in artifact and isinstance(artifact.get("index"), int):
        artifact = (run.get("artifacts") or [])[artifact["index"]].get("location") or {}
    if "uri" not in artifact:
        return None
    uri = str(artifact["uri"])
    base = (run.get("originalUriBaseIds") or {}).get(artifact.get("uriBaseId", ""), {}).get("uri", "")
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return None
    path = unquote(parts.path)
    if parts.scheme == "file" or path.startswith("/"):
        relative = _below(path, root) or (_below(path, Path(unquote(urlsplit(base).path))) if base else None)
        if relative is None:
            return None
        path = relative
    elif base and root is not None:
        below = _below(unquote(urlsplit(base).path) + path, root)
        path = below or path
    pure = PurePosixPath(path)
    return None if ".." in pure.parts else (pure.as_posix(), physical.get("region") or {})


def _below(path: str, root: Path | None) -> str | None:
    if root is None:
        return None
    pure = PurePosixPath(path)
    for base in (PurePosixPath(root.as_posix()), PurePosixPath(root.resolve().as_posix())):
        if pure.is_relative_to(base):
            return pure.relative_to(base).as_posix()
    return None
