"""Texts that code takes for something: an encoding, an address, a date, the name of a module, a piece of code.

Made-up texts are refused by what reads them, and the code behind that is not reached. What a parameter is for is told
by its name, and by the well-known functions that it is passed to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from famulus.lsp_server.execution.nodes import nodes_of

_TEXTS: Mapping[str, tuple[str, ...]] = {
    "encoding": ("utf-8", "latin-1", "ascii", "utf-16"),
    "url": ("http://host.org/a/b?c=d&e#f", "https://user:pw@host.org:8080/x", "/a?b=1", "host.org"),
    "host": ("host.org", "127.0.0.1", "localhost:80", "[::1]:8080"),
    "address": ("127.0.0.1", "10.1.2.3", "::1", "host.org"),
    "network": ("10.0.0.0/8", "127.0.0.0/16", "::/0"),
    "method": ("GET", "POST", "HEAD", "CONNECT"),
    "scheme": ("http", "https", "file"),
    "media": ("text/html; charset=utf-8", "application/json", "text/*;q=0.5"),
    "header": ("Content-Type: text/plain", "keep-alive, Upgrade", 'form-data; name="a"; filename="b.txt"'),
    "date": (
        "2024-02-29T12:30:05+01:00",
        "2024-02-29",
        "2024-02-29 12:30:05",
        "Thu, 29 Feb 2024 12:30:05 GMT",
        "12:30",
    ),
    "version": ("1.2.3", "2!1.0a1.dev3+local", "0.9rc2", "v1"),
    "requirement": (">=1.0,<2", "a[b]>=1.2; python_version < '3.9'", "==1.*"),
    "email": ("a@host.org", "A B <a.b@host.org>"),
    "language": ("en", "de_DE.UTF-8", "en-US"),
    "zone": ("UTC", "Europe/Berlin", "+01:00", "local"),
    "json": ('{"a": [1, null, "x"]}', "[]", "1", '"x"'),
    "markup": ('<p class="a" id="b">x <b>y</b></p>', "<a href='c'>d &amp; e</a>", "<?xml version='1.0'?><r a='1'/>"),
    "markdown": (
        "# a\n\n- b\n- c\n\n*d* **e** `f` [g](h)\n",
        "> a\n\n```py\nb\n```\n",
        "| a | b |\n|---|:-:|\n| 1 | 2 |\n",
    ),
    "code": (
        "x = 1\n",
        "f(1, a=2)",
        "def f(a, b=1):\n    return a + b\n",
        "a if b else [c]",
        "import os\nfrom a import b\n",
    ),
    "module": ("os.path", "json", "collections.abc", "collections:OrderedDict"),
    "pattern": ("(a+)(?P<n>b)?", "^x", "[a-c]*"),
    "command": ("ls -l 'a b'", "echo x | sort"),
    "selector": ("a.b > c", "//a/b[@c]"),
    "color": ("#ff0000", "red", "#fff"),
    "format": ("%Y-%m-%d", "{a} {0}", "%d %s", "YYYY-MM-DD HH:mm"),
    "mode": ("r", "wb", "a"),
    "config": ("a: 1\nb: [x, y]\n", "[s]\na = 1\n"),
    "query": ("a=1&b=2&a=3", "q=x+y%20z"),
    "cookie": ("k=v; Path=/; Secure",),
    "attribute": ("real", "__class__", "__doc__"),
    "base64": ("YWJj", "YQ=="),
    "hex": ("616263", "ff"),
    "uuid": ("12345678-1234-5678-1234-567812345678",),
    "number": ("12", "-1.5", "1e3", "0x1f"),
}
_NAMES: Mapping[str, str] = {
    "encoding": "encoding charset codec",
    "url": "url uri href link endpoint location",
    "host": "host hostname domain netloc authority",
    "address": "ip address addr",
    "network": "net network subnet cidr",
    "method": "method verb",
    "scheme": "scheme proto protocol",
    "media": "mimetype mime content_type media_type accept",
    "header": "header disposition",
    "date": "date datetime timestamp time isoformat",
    "version": "version ver",
    "requirement": "requirement specifier constraint spec",
    "email": "email mail",
    "language": "lang language locale",
    "zone": "tz timezone zone tzinfo",
    "json": "json",
    "markup": "html xml markup svg",
    "markdown": "markdown md",
    "code": "code source src script program expr expression statement",
    "module": "module modname module_name dotted import_name import_path",
    "pattern": "pattern regex regexp glob",
    "command": "command cmd cmdline",
    "selector": "selector css xpath",
    "color": "color colour fg bg",
    "format": "format fmt template",
    "mode": "mode",
    "config": "yaml toml ini config",
    "query": "query qs querystring",
    "cookie": "cookie cookies",
    "attribute": "attr attribute attrname",
    "uuid": "uuid guid",
}
_TAKEN: Mapping[str, str] = {
    "encoding": "lookup encode decode getdecoder getencoder getincrementaldecoder",
    "url": "urlparse urlsplit urljoin urlunparse",
    "address": "ip_address ip_interface inet_aton",
    "network": "ip_network",
    "date": "strptime fromisoformat parsedate parsedate_to_datetime",
    "zone": "ZoneInfo gettz",
    "json": "loads",
    "markup": "fromstring",
    "code": "compile eval exec literal_eval parse_expr generate_tokens dedent",
    "module": "import_module resolve_name find_spec __import__",
    "command": "split_command shlex",
    "query": "parse_qs parse_qsl unquote_plus",
    "attribute": "getattr hasattr attrgetter",
    "base64": "b64decode urlsafe_b64decode a2b_base64 decodebytes",
    "hex": "unhexlify fromhex",
    "uuid": "UUID",
    "number": "int float Decimal Fraction",
}
_FIELDS: tuple[tuple[str, tuple[tuple[tuple[str, str], ...], ...]], ...] = (
    (
        "headers header",
        (
            (("Host", "host.org"), ("Transfer-Encoding", "chunked")),
            (("Host", "host.org"), ("Content-Length", "3"), ("Connection", "close")),
            (("Content-Type", "text/html; charset=utf-8"), ("Set-Cookie", "k=v")),
            (("Host", "host.org"), ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Expect", "100-continue")),
            (("Location", "/a?b=c"), ("Authorization", "Basic YTpi")),
        ),
    ),
    ("params query args form fields", ((("a", "1"), ("b", "x y")), (("q", ""),))),
    ("cookies", ((("k", "v"),),)),
    ("environ env", ((("HOME", "/tmp/a"), ("LANG", "en_US.UTF-8")), (("REQUEST_METHOD", "GET"), ("PATH_INFO", "/a")))),
)
"""Pairs, by the last word of a name."""
_NUMBERS = (
    ("status status_code code http_status", "200 404 301 101 500"),
    ("port", "80 443 8080"),
    ("year", "2024 1999 1900"),
    ("month", "2 12"),
    ("day", "29 31"),
)
"""Whole numbers, by a name."""
_BY_NAME = {name: what for what, names in _NAMES.items() for name in names.split()}
_BY_CALL = {name: what for what, names in _TAKEN.items() for name in names.split()}


def values(top: ast.AST, name: str, kind: str) -> list[str]:
    """Expressions for the parameter ``name`` of the function ``top``, likeliest first; none if nothing tells what it is
    for. ``kind``: as in :class:`.values.Values`; there are texts, bytes, numbers, and lists or dictionaries of pairs.
    """
    kinds = kind.split(" | ")
    if kind.startswith(("list", "dict")):
        return _pairs(name, kind)
    if "int" in kinds and "str" not in kinds:
        return next((numbers.split() for names, numbers in _NUMBERS if name.lower().strip("_") in names.split()), [])
    if "str" not in kinds and "bytes" not in kinds:
        return []
    found: dict[str, None] = {}
    for what in (*_asked(top, name), *_called(name)):
        found.update(dict.fromkeys(_TEXTS[what]))
    return [repr(text) if "str" in kinds else repr(text.encode()) for text in found]


def is_text(top: ast.AST, name: str) -> bool:
    """Whether a variable is passed to a well-known function that takes texts."""
    return any(what != "number" for what in _asked(top, name))


def _pairs(name: str, kind: str) -> list[str]:
    """What code looks for in headers, fields of forms and the like."""
    found = next((pairs for names, pairs in _FIELDS if name.lower().strip("_").split("_")[-1] in names.split()), ())
    made: list[str] = []
    for pairs in found:
        texts: list[tuple[str | bytes, str | bytes]] = list(pairs)
        if "bytes" in kind and "str" not in kind:
            texts = [(key.encode(), value.encode()) for key, value in pairs]
        if kind.startswith("dict"):
            made.append(repr(dict(texts)))
        elif kind.startswith(("list[tuple[", "list[list[")):
            made.append(repr(texts))
    return made


def _called(name: str) -> Iterator[str]:
    """What a name says: as a whole, then by its last words, then by its first one."""
    plain = name.lower().strip("_")
    words = plain.split("_")
    for part in (plain, "_".join(words[-2:]), words[-1], words[0]):
        if part in _BY_NAME:
            yield _BY_NAME[part]
            return


def _asked(top: ast.AST, name: str) -> Iterator[str]:
    """What well-known functions take that are called with it."""
    for node in nodes_of(top):
        if isinstance(node, ast.Call) and any(_is(argument, name) for argument in node.args):
            called = node.func
            last = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            if last in _BY_CALL and not (last in ("getattr", "hasattr") and _is(node.args[0], name)):
                yield _BY_CALL[last]


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
