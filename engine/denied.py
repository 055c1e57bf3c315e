"""Names of files that hold secrets by convention. Standard library only.

A name is compared without regard to case, in its compatibility form, without characters that nobody sees, without
trailing dots and spaces (Windows drops them) and without the endings of backups, so that ``.ENV``, ``id_rsa.bak``
and ``.env.`` are what they look like.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache

EXAMPLES = frozenset((".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults"))
"""Made to be shared: names without values. These may be read, and nothing else that starts like them."""

FOLDERS = {
    ".git": "belongs to git",
    ".ssh": "is in a folder of keys",
    ".gnupg": "is in a folder of keys",
    ".aws": "is in a folder of cloud credentials",
    ".azure": "is in a folder of cloud credentials",
    ".gcloud": "is in a folder of cloud credentials",
    ".password-store": "is in a folder of passwords",
}
"""Everything below a folder of these names, with the rest of a sentence that begins with the file."""

FILES: dict[str, tuple[str, ...]] = {
    "holds environment variables, which are often secrets": (".env*", "*.env", ".flaskenv", ".renviron"),
    "holds a key or a certificate": (
        "*.pem", "*.key", "*.p12", "*.pfx", "*.pkcs12", "*.p8", "*.p7b", "*.der", "*.crt", "*.cer", "*.jks", "*.bks",
        "*.keystore", "*.ppk", "*.kdb", "*.kdbx", "*.keychain", "*.keychain-db", "*.keytab", "*.gpg", "*.ovpn",
        "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    ),
    "holds passwords or tokens": (
        ".netrc", "_netrc", ".pgpass", "pgpass.conf", ".my.cnf", ".npmrc", ".yarnrc", ".pypirc", ".htpasswd",
        ".git-credentials", ".dockercfg", ".dockerconfigjson", ".boto", ".s3cfg", "rclone.conf", ".vault-token",
        ".vault_pass*", ".terraformrc", "terraform.rc", "*.tfstate*", "*.tfvars", "*.tfvars.json", "kubeconfig*",
        "*.kubeconfig", "auth.json", "application_default_credentials.json", "service-account*.json",
        "service_account*.json", "serviceaccount*.json", "client_secret*.json", "credentials*", ".credentials*",
        "secrets", "secrets.*", ".secret*", "*.secret", "*.secrets", ".*_history",
    ),
}  # fmt: skip
"""Patterns of names, by the rest of a sentence that begins with the file."""

PLACES = {
    (".docker", "config.json"): "holds passwords or tokens",
    (".kube", "config"): "holds passwords or tokens",
    (".config", "gcloud"): "is in a folder of cloud credentials",
    ("share", "keyrings"): "is in a folder of passwords",
    ("gh", "hosts.yml"): "holds passwords or tokens",
}
"""Names that say enough only together with the folder above."""

_CODE = frozenset(
    (
        "py", "pyi", "ipynb", "js", "jsx", "mjs", "cjs", "ts", "tsx", "mts", "cts", "go", "rs", "java", "kt", "scala",
        "swift", "c", "h", "cc", "cpp", "cxx", "hpp", "cs", "fs", "rb", "lua", "dart", "ex", "hs", "ml", "clj", "vue",
        "svelte", "html", "css", "scss", "md", "rst", "sql", "m", "zig", "jl", "r", "php",
    )
)  # fmt: skip
"""``credentials.go`` is code about credentials. (``secrets.py`` is where small programs keep their passwords.)"""

_BACKUP = re.compile(r"(~|\.(bak|backup|old|orig|save|copy|tmp|sw[n-p]|\d{1,3}))\Z")
_FILE = {reason: re.compile("|".join(map(translate, names))) for reason, names in FILES.items()}


def why(parts: Sequence[str]) -> str:
    """Why a file may not be read, going by the parts of its path: the rest of a sentence, or "" where it may be."""
    names = [_plain(part) for part in parts]
    for above, name in zip(["", *names], names, strict=False):
        if reason := FOLDERS.get(name) or PLACES.get((above, name)):
            return reason
    *folders, last = names or [""]
    return _file(folders[-1] if folders else "", last)


@lru_cache(4096)
def _file(folder: str, name: str) -> str:
    seen = set()
    # ".#name" and "#name#" are Emacs's, ".name.swp" is Vim's.
    for candidate in (name, name.strip("#"), name.removeprefix(".#"), name[1:] if _BACKUP.search(name) else name):
        while candidate not in seen:
            seen.add(candidate)
            if reason := PLACES.get((folder, candidate)) or _listed(candidate):
                return reason
            candidate = _BACKUP.sub("", candidate)
    return ""


def _listed(name: str) -> str:
    if name in EXAMPLES or (name.startswith("credentials") and name.rpartition(".")[2] in _CODE):
        return ""
    return next((reason for reason, pattern in _FILE.items() if pattern.match(name)), "")


@lru_cache(4096)
def _plain(name: str) -> str:
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
        name = "".join(character for character in name if unicodedata.category(character) != "Cf")
    # Behind a colon, NTFS names a stream of the same file.
    return name.partition(":")[0].rstrip(". ").casefold()
