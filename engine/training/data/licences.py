"""Which licence a package is published under, from its own metadata, and whether we learn from it."""

from __future__ import annotations

import re
from email.message import Message

PERMISSIVE = {
    "MIT": ("mit", "mit license", "the mit license", "expat", "mit-0", "mit no attribution license (mit-0)"),
    "BSD": ("bsd", "bsd license", "bsd-2-clause", "bsd-3-clause", "new bsd", "3-clause bsd", "modified bsd", "0bsd",
            "bsd 3-clause", "bsd-3", "new bsd license", "bsd 3-clause license", "bsd 3 clause"),
    "Apache-2.0": ("apache-2.0", "apache software license", "apache 2.0", "apache license 2.0", "apache 2", "asl 2.0",
                   "apache license, version 2.0", "apache", "apache 2.0 license", "apache license version 2.0"),
    "ISC": ("isc", "isc license (iscl)", "iscl"),
    "PSF": ("psf-2.0", "psf", "python software foundation license", "python-2.0"),
    "Zlib": ("zlib",),
    "HPND": ("hpnd", "historical permission notice and disclaimer (hpnd)", "mit-cmu"),
    "Unlicense": ("unlicense", "the unlicense (unlicense)", "cc0-1.0", "public domain"),
}  # fmt: skip
"""Licence → what packages call it, in lower case."""

_NAMES = {name: licence for licence, names in PERMISSIVE.items() for name in names}


def licence_of(metadata: Message) -> str:
    """One of :data:`PERMISSIVE`, several joined by " AND ", or "" where a part of it is anything else.

    The expression counts before the classifiers, and they before the free text.
    """
    expression = metadata.get("License-Expression")
    if expression:
        return _expression(expression)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    if classifiers:
        return _joined(classifiers)
    text = (metadata.get("License") or "").strip()
    return _joined([text]) if text and "\n" not in text else ""


def _expression(text: str) -> str:
    """An SPDX expression: of alternatives the first that is permissive, of parts all."""
    for way in re.split(r"\s+OR\s+", text.strip("() "), flags=re.IGNORECASE):
        found = _joined(re.split(r"\s+AND\s+", way.strip("() "), flags=re.IGNORECASE))
        if found:
            return found
    return ""


def _joined(parts: list[str]) -> str:
    found = [_NAMES.get(part.strip("() ").lower(), "") for part in parts]
    return " AND ".join(dict.fromkeys(found)) if all(found) else ""
