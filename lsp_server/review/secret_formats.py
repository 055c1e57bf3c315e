"""What a secret looks like in a line of text.

Precision comes first: the formats are those that services give to their tokens, with their prefixes and lengths, and a
value without such a format counts only where a name says that it is secret and the value is random. The shapes are
taken from the services' documentation; placeholders and examples do not count.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_LINE = 20_000
"""Characters of a line that are looked at; a minified file is no place where a person writes."""
RANDOM_BITS = 3.6
"""Bits a character from which on a value counts as random (Shannon's entropy of its own characters)."""
_LEAST_RANDOM = 20
"""Characters; shorter values are passwords that a person chose, or no secrets."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in a line: ``line[start:end]``. ``kind`` is a word for machines, ``name`` one for people."""

    kind: str
    name: str
    start: int
    end: int
    bits: float = 0.0
    """Bits a character, where randomness is what gave it away; else 0."""


_FORMATS = tuple(
    (kind, name, re.compile(pattern))
    for kind, name, pattern in (
        ("aws-key", "an AWS access key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
        ("github-token", "a GitHub token", r"(?<!\w)gh[pousr]_[A-Za-z0-9]{36,251}(?!\w)"),
        ("github-token", "a GitHub token", r"(?<!\w)github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}(?!\w)"),
        ("gitlab-token", "a GitLab token", r"(?<!\w)gl(?:pat|dt|rt|cbt|ptt|soat)-[\w-]{20,64}(?![\w-])"),
        ("slack-token", "a Slack token", r"(?<!\w)xox[abeprs]-\d{9,}-[A-Za-z0-9-]{12,}"),
        ("slack-webhook", "a Slack webhook", r"hooks\.slack\.com/services/T\w{8,}/B\w{8,}/\w{20,}"),
        ("stripe-key", "a Stripe key", r"(?<!\w)[sr]k_live_[A-Za-z0-9]{24,}(?!\w)"),
        ("google-key", "a Google API key", r"(?<![\w-])AIza[\w-]{35}(?![\w-])"),
        ("openai-key", "an OpenAI key", r"(?<![\w-])sk-(?:[a-z]+-)?[\w-]{20,}T3BlbkFJ[\w-]{20,}"),
        ("anthropic-key", "an Anthropic key", r"(?<![\w-])sk-ant-[a-z]+\d\d-[\w-]{80,}"),
        ("huggingface-token", "a Hugging Face token", r"(?<!\w)hf_[A-Za-z0-9]{34,}(?!\w)"),
        ("npm-token", "an npm token", r"(?<!\w)npm_[A-Za-z0-9]{36}(?!\w)"),
        ("package-index-token", "a token of a Python package index", r"(?<!\w)pypi-AgE[\w-]{60,}"),
        ("sendgrid-key", "a SendGrid key", r"(?<!\w)SG\.[\w-]{22}\.[\w-]{43}(?![\w-])"),
        ("telegram-token", "a Telegram bot token", r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])"),
        ("azure-key", "an Azure storage key", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    )
)

_KEY_HEAD = re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?P<rest>.*)")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_KEY_FIELD = re.compile(r"(?:Version|Comment|Proc-Type|DEK-Info):")

_IN_URL = re.compile(
    r"(?<![\w.+-])[a-z][a-z0-9+.-]{1,20}://[\w.%+-]{1,64}:"
    r"(?P<value>[^\s:/@'\"<>{}$()]{6,128})@(?P<host>[\w.-]+)"
)
_SAID = re.compile(r"(?i)pass(?:w|phrase)|secret|pwd|token|user")
_LOCAL = re.compile(r"(?:localhost|127\.|0\.0\.0\.0|10\.|192\.168\.)")

_NAME = (
    r"""(?i)(?<![A-Za-z])(?P<name>[\w.-]{0,40}?(?:secret|token|passw(?:or)?d|passphrase|pwd|api[_-]?key|access[_-]?key"""
    r"""|private[_-]?key|auth[_-]?key|signing[_-]?key|encryption[_-]?key|credential)s?(?:[_-]?(?:key|value|secret))?)"""
)
_ASSIGNED = re.compile(
    _NAME + r"""["']?\]?\s*(?::\s*[\w.\[\]]+\s*)?(?:=>|:=|=|:)\s*[bru]{0,2}["'](?P<value>[^"'\s]{20,200})["']"""
)
_BARE = re.compile(_NAME + r"""["']?(?::\s|\s*=)\s*(?P<value>[A-Za-z0-9+/]{20,200}={0,2})\s*(?:#.*)?$""")
"""A value without quotes, where no name of something else can stand in its place."""
_PLACEHOLDER = re.compile(
    r"(?i)example|sample|change[_-]?me|placeholder|dummy|fake|your|redact|replace|insert|x{4,}|\*{3,}|\.{3}|test"
    r"|0123456789|123456|abcdef|qwerty|foobar|deadbeef|lorem|todo|<|>|\$\{|\{\{|\{|%\("
)
_ONE_ALPHABET = re.compile(r"[A-Za-z0-9+/_=.\-~]+")
_WORDS = re.compile(r"[A-Za-z]+(?:[_.\-/ ][A-Za-z]+)*\d{0,2}")
_NAMED_OTHERWISE = re.compile(
    r"(?i)(?:name|id|type|url|uri|path|file|field|header|prefix|suffix|endpoint|hash|digest)s?$"
)


def in_line(line: str, following: str = "", *, bare: bool = False) -> Iterator[Secret]:
    """The secrets of a line. ``following`` is the next line, in which the body of a key stands; ``bare``: values may
    stand without quotes, as in YAML or a shell."""
    line = line[:LONGEST_LINE]
    taken = 0
    for kind, name, form in _FORMATS:
        for found in form.finditer(line):
            if _convincing(found[0]):
                taken += 1
                yield Secret(kind, name, *found.span())
    head = _KEY_HEAD.search(line)
    if head is not None and _is_key(head["rest"], following):
        taken += 1
        yield Secret("private-key", "a private key", *head.span())
    if not taken:
        yield from _by_its_place(line, bare=bare)


def bits(text: str) -> float:
    """Bits a character, by the text's own characters."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


def _is_key(rest: str, following: str) -> bool:
    """Whether a key follows its head: programs that read keys name the head alone."""
    rest = rest.replace("\\r", "").replace("\\n", " ")
    body = _KEY_BODY.search(rest) or _KEY_BODY.search(following)
    if body is None:
        return _KEY_FIELD.search(following) is not None
    return bits(body[0]) > RANDOM_BITS


def _convincing(value: str) -> bool:
    """Whether a value of a known format is no example of one."""
    return bits(value) > 3.0 and not re.search(r"(?i)example|x{6,}|0{8,}|1234567|abcdefg", value)


def _by_its_place(line: str, *, bare: bool) -> Iterator[Secret]:
    """A password in an address, or a random value that is assigned to a secret's name."""
    for found in _IN_URL.finditer(line) if "@" in line else ():
        value = found["value"]
        shown = _PLACEHOLDER.search(value) or _SAID.search(value) or "." not in found["host"]
        if not shown and not _LOCAL.match(found["host"]) and "example" not in found["host"]:
            yield Secret("password-in-address", "a password in an address", *found.span("value"))
    assigned = list(_ASSIGNED.finditer(line)) if '"' in line or "'" in line else []
    for found in assigned or (_BARE.finditer(line) if bare else ()):
        value = found["value"]
        if _NAMED_OTHERWISE.search(found["name"]) or not _random(value):
            continue
        yield Secret("random-value", f"a random value as `{found['name']}`", *found.span("value"), bits(value))


def _random(value: str) -> bool:
    return (
        len(value) >= _LEAST_RANDOM
        and _ONE_ALPHABET.fullmatch(value) is not None
        and _WORDS.fullmatch(value) is None
        and _PLACEHOLDER.search(value) is None
        and any(c.isdigit() for c in value)
        and any(c.isalpha() for c in value)
        and bits(value) >= RANDOM_BITS - (0.4 if re.fullmatch(r"[0-9a-fA-F-]+", value) else 0.0)
    )
