"""Definitions are told as a person would quote them."""

from __future__ import annotations

import pytest

from famulus.lsp_server.context.symbols import SIGNATURE, definitions
from famulus.lsp_server.documents import Text
from famulus.lsp_server.syntax import parse

CASES = [
    (
        "python",
        'LIMIT: int = 3\nname = 1\n@cached\ndef f(a,\n      b=1) -> int:\n    """Adds é.\n\n    More."""\n'
        "    def g(): pass\n"
        'class A(B):\n    """Holds."""\n    def __init__(self, x): pass\n    def m(self): pass\n'
        "if X:\n    def h(): pass\n",
        {
            "LIMIT": "LIMIT: int = 3",
            "f": 'def f(a, b=1) -> int:\n    """Adds é."""',
            "A": 'class A(B):\n    """Holds."""\n    def __init__(self, x):',
            "__init__": "def __init__(self, x):",
            "m": "def m(self):",
            "h": "def h():",
        },
    ),
    (
        "typescript",
        "export const K = 3;\nexport interface P { a: number }\n"
        "export const go = async (x: P): Promise<void> => { x; };\n"
        "export class C { run(a: string): number { return 1 } }\n"
        "function f(a: T) { const inner = 1; }\n",
        {
            "K": "K = 3",
            "P": "interface P { a: number }",
            "go": "go = async (x: P): Promise<void> =>",
            "C": "class C",
            "run": "run(a: string): number",
            "f": "function f(a: T)",
        },
    ),
    (
        "go",
        "package m\nconst Max = 3\ntype P struct {\n\tA int\n}\nfunc (p *P) Run(a int) error { return nil }\n",
        {"Max": "Max = 3", "P": "P struct {\n\tA int\n}", "Run": "func (p *P) Run(a int) error"},
    ),
    (
        "rust",
        "pub const MAX: u8 = 3;\npub struct P { a: u8 }\nimpl P { pub fn run(&self) -> u8 { 1 } }\n",
        {"MAX": "pub const MAX: u8 = 3;", "P": "pub struct P { a: u8 }", "run": "pub fn run(&self) -> u8"},
    ),
    (
        "java",
        "class A { int f(int x) { return 1; } }\n",
        {"A": "class A", "f": "int f(int x)"},
    ),
    ("cpp", "namespace n { class A { int f(int x) { return 1; } }; }\n", {"A": "class A", "f": "int f(int x)"}),
]


@pytest.mark.parametrize(("language", "text", "expected"), CASES)
def test_definitions(language: str, text: str, expected: dict[str, str]) -> None:
    tree = parse(language, Text(text))
    assert tree is not None
    assert {d.name: d.text for d in definitions(tree)} == expected


def test_methods_know_their_class_and_their_line() -> None:
    tree = parse("python", Text("\n\nclass A:\n    def m(self): pass\n"))
    assert tree is not None
    assert [(d.name, d.owner, d.line) for d in definitions(tree)] == [("A", "", 2), ("m", "A", 3)]


def test_long_signatures_are_cut() -> None:
    tree = parse("python", Text("def f(" + ", ".join(f"a{n}" for n in range(200)) + "): pass\n"))
    assert tree is not None
    assert len(definitions(tree)[0].text) == SIGNATURE
