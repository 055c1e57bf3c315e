"""Secrets that added lines would publish, and characters in them that nobody sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from famulus.lsp_server.review import invisible, secret_formats
from famulus.lsp_server.review.change import FileChange
from famulus.lsp_server.review.finding import Certainty, Finding, Grade, Place, Proof
from famulus.lsp_server.review.rule import Context, Rule, Stage
from famulus.lsp_server.review.secret_formats import Secret

_PROSE = (".md", ".rst", ".txt", ".po", ".html", ".tex", ".adoc", ".srt", ".csv", ".json", ".xml", ".yaml", ".yml")
_MACHINE_MADE = re.compile(r"(?:\.lock|-lock\.json|-lock\.yaml|\.sum|\.min\.js|\.map|\.svg|\.ipynb)$")
_SECRET_FILE = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example$|sample$|template$|dist$|defaults$|test$)\w+)?|id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc"
    r"|\.pgpass|\.git-credentials|\.htpasswd|[^/]+\.(?:p12|pfx|ppk|kdbx|jks|keystore|tfstate)|service[-_]account[^/]*\.json)$"
)
_FOR_TESTS = re.compile(r"(?:^|/)(?:tests?|testdata|fixtures?|examples?|samples?|mocks?)(?:/|_|$)")
_BARE_VALUES = re.compile(
    r"(?:^|/)(?:[^/]*\.(?:ya?ml|env|properties|ini|cfg|conf|sh|bash|zsh|envrc)|\.env[^/]*|[^/]*\.env\.[^/]+|Dockerfile[^/]*)$"
)
"""Files in which values are written without quotes."""
_BESIDE = 4
"""Characters on each side by which a place is known again."""
_SHOWN = {
    "bidi": ("reorder what a reader sees", "text is not run in the order in which it is shown"),
    "width": ("have no width", "two names that look the same may differ"),
    "hidden": ("carry hidden data", "they can hold a message that only a machine reads"),
}


class Leaks:
    """Looks at added lines only: what was there before is not this change's doing."""

    name = "secrets"
    title = "secrets and invisible characters"
    stage = Stage.STATIC

    def check(self, context: Context) -> Iterator[Finding]:
        """See :class:`Rule`."""
        removed = "\n".join(line for file in context.change.files for hunk in file.hunks for line in hunk.old_lines)
        for file in context.change.files:
            for hunk in file.hunks:
                for offset, line in enumerate(hunk.new_lines):
                    following = hunk.new_lines[offset + 1] if offset + 1 < len(hunk.new_lines) else ""
                    number = hunk.new_start + offset
                    yield from _secrets(file, number, line, following, removed)
                    yield from _invisible(file, number, line, removed)
        yield from _files(context)


def _secrets(file: FileChange, number: int, line: str, following: str, removed: str) -> Iterator[Finding]:
    for secret in secret_formats.in_line(line, following, bare=_BARE_VALUES.search(file.path) is not None):
        value = line[secret.start : secret.end]
        if secret.kind == "random-value" and (_MACHINE_MADE.search(file.path) or _FOR_TESTS.search(file.path)):
            continue
        telling = following if secret.kind == "private-key" and following else value
        if telling in removed:
            continue  # it only moved
        certainty: Certainty = "likely" if secret.kind in ("random-value", "password-in-address") else "certain"
        name = sha256(value.encode(errors="surrogatepass")).hexdigest()[:12]
        yield Finding(
            rule=f"secrets/{secret.kind}",
            message=f"{file.path}:{number} would publish {secret.name}.",
            grade=Grade.MEASURED if secret.bits else Grade.PROVED,
            place=_span(file, number, secret.start, secret.end),
            key=f"{secret.kind} {name}",
            proof=_proof(secret, value),
            severity="error" if certainty == "certain" else "warning",
            certainty=certainty,
        )


def _proof(secret: Secret, value: str) -> Proof:
    """Says where the secret is, never what it is: reports are published as well."""
    known = f"{value[:4]}… has the form that the service gives to its keys, {len(value)} characters"
    if secret.kind == "private-key":
        known = "the head of a private key, with its body behind it"
    elif secret.kind == "password-in-address":
        known = f"{len(value)} characters between a user's name and a host"
    elif secret.bits:
        known = f"{len(value)} characters with {secret.bits:.1f} bits each"
    return Proof(kind="match", text=known, data={"masked": True, "length": len(value)})


def _invisible(file: FileChange, number: int, line: str, removed: str) -> Iterator[Finding]:
    prose = file.path.endswith(_PROSE)
    if prose and _FOR_TESTS.search(file.path):
        return  # data with which tests show that the code can bear it
    for found in invisible.in_line(line, prose=prose):
        characters = line[found.start : found.end]
        if line[max(0, found.start - _BESIDE) : found.end + _BESIDE] in removed:
            continue  # it only moved
        does, means = _SHOWN[found.kind]
        yield Finding(
            rule=f"secrets/invisible-{found.kind}",
            message=f"{file.path}:{number} has characters that {does}: {means}.",
            grade=Grade.PROVED,
            place=_span(file, number, found.start, found.end),
            key=f"{file.path} {characters.encode('unicode_escape', 'surrogatepass').decode()[:80]}",
            proof=Proof(kind="match", text=invisible.named(characters), data={"count": len(characters)}),
            severity="error" if found.kind == "bidi" else "warning",
        )


def _files(context: Context) -> Iterator[Finding]:
    """Files that are added and are not read, because their names say that they hold secrets."""
    for path in sorted(context.change.unread):
        if path not in context.change.unread_added or not _SECRET_FILE.search(path) or _FOR_TESTS.search(path):
            continue
        yield Finding(
            rule="secrets/file",
            message=f"{path} would be published, and it {context.change.unread[path]}.",
            grade=Grade.PROVED,
            place=Place(path=path, line=1),
            key=f"file {path}",
            proof=Proof(kind="match", text="the name of the file, which is new and not ignored by git"),
            certainty="likely",
        )


def _span(file: FileChange, number: int, start: int, end: int) -> Place:
    return Place(path=file.path, line=number, column=start + 1, end_line=number, end_column=end + 1)


RULE: Rule = Leaks()
