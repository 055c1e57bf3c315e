"""Calls that a change breaks in other languages: found where the caller can mean nothing else, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from famulus.lsp_server.review.change import Memory, between
from famulus.lsp_server.review.finding import Finding, Grade
from famulus.lsp_server.review.foreign import Function, read
from famulus.lsp_server.review.rule import Context
from famulus.lsp_server.review.rules.foreign_calls import RULE


def _found(old: Mapping[str, str], new: Mapping[str, str]) -> list[Finding]:
    sides = [Memory({path: text.encode() for path, text in side.items()}) for side in (old, new)]
    return list(RULE.check(Context(between(*sides))))


BREAKS = {
    "typescript": (
        {"src/shop.ts": "export function price(n: number): number { return n }\n"},
        ("number)", "number, rate: number)"),
        {"src/app/cart.ts": "import { price as p } from '../shop'\nexport const total = () => p(3)\n"},
        "src/app/cart.ts:2 calls price() with one argument, but it now needs 2.",
    ),
    "typescript, whole module": (
        {"shop.ts": "export const price = (n: number, rate = 1) => n * rate\n"},
        (", rate = 1", ""),
        {"cart.tsx": "import * as shop from './shop'\n\nfunction total() { return shop.price(3, 2) }\n"},
        "cart.tsx:3 calls price() with 2 arguments, but it now takes 1.",
    ),
    "javascript": (
        {"shop.js": "function price(n) { return n }\nmodule.exports = { price }\n"},
        ("(n)", "(n, rate)"),
        {"cart.js": "const { price } = require('./shop')\nprice(1)\n"},
        "cart.js:2 calls price() with one argument, but it now needs 2.",
    ),
    "javascript, gone": (
        {"shop.js": "export function price(n) { return n }\nexport const rate = 1\n"},
        ("export function price(n) { return n }\n", ""),
        {"cart.js": "import { price } from './shop.js'\nprice(1)\n"},
        "cart.js:2 calls price(), which shop.js no longer defines.",
    ),
    "go, package": (
        {"shop/price.go": "package shop\n\nfunc Price(n int) int { return n }\n"},
        ("n int)", "n, rate int)"),
        {"shop/cart.go": "package shop\n\nfunc total() int {\n\treturn Price(1)\n}\n"},
        "shop/cart.go:4 calls Price() with one argument, but it now needs 2.",
    ),
    "go, import": (
        {"shop/price.go": "package shop\n\nfunc Price(ns ...int) int { return 0 }\n"},
        ("ns ...int", "n int"),
        {"main.go": 'package main\n\nimport s "example.org/m/shop"\n\nfunc main() { s.Price(1, 2) }\n'},
        "main.go:5 calls Price() with 2 arguments, but it now takes 1.",
    ),
    "java": (
        {"Shop.java": "class Shop { static int price(int n) { return n; } }\n"},
        ("int n)", "int n, int rate)"),
        {"Cart.java": "class Cart {\n  int total() { return Shop.price(1); }\n}\n"},
        "Cart.java:2 calls Shop.price() with one argument, but it now needs 2.",
    ),
    "c": (
        {"shop.c": "int price(int n) { return n; }\n"},
        ("int n)", "int n, int rate)"),
        {"cart.c": '#include "shop.h"\nint total(void) { return price(1); }\n', "shop.h": "int price(int n, int r);\n"},
        "cart.c:2 calls price() with one argument, but it now needs 2.",
    ),
    "cpp": (
        {"shop.cpp": "int price(int n, int rate = 1) { return n; }\nint total() { return price(1); }\n"},
        (" = 1", ""),
        {},
        "shop.cpp:2 calls price() with one argument, but it now needs 2.",
    ),
    "rust": (
        {"src/shop.rs": "pub fn price(n: u8) -> u8 { n }\n"},
        ("n: u8)", "n: u8, rate: u8)"),
        {"src/cart.rs": "use crate::shop::{price, other};\nfn total() -> u8 { price(1) }\n"},
        "src/cart.rs:2 calls price() with one argument, but it now needs 2.",
    ),
    "rust, path": (
        {"src/shop/mod.rs": "pub fn price(n: u8) -> u8 { n }\n"},
        ("n: u8)", ")"),
        {"src/cart.rs": "fn total() -> u8 { crate::shop::price(1) }\n"},
        "src/cart.rs:1 calls price() with one argument, but it now takes none.",
    ),
}


def _change(name: str) -> tuple[dict[str, str], dict[str, str]]:
    definition, (was, now), callers, _ = BREAKS[name]
    [(path, text)] = definition.items()
    assert was in text
    return {path: text, **callers}, {path: text.replace(was, now, 1), **callers}


@pytest.mark.parametrize("name", BREAKS)
def test_a_call_that_no_longer_fits_is_found_at_the_caller(name: str) -> None:
    old, new = _change(name)
    [found] = _found(old, new)
    assert found.message == BREAKS[name][3]
    assert found.grade is Grade.MEASURED and found.certainty in ("likely", "possible")
    assert found.proof.kind == "bind" and str(found.place) == found.message.split(" ")[0]
    assert bool(found.related) == ("gone" not in found.rule)
    assert not _found(old, old) and not _found({}, new)


@pytest.mark.parametrize("name", BREAKS)
def test_a_name_that_is_defined_twice_is_left_alone(name: str) -> None:
    old, new = _change(name)
    path, text = next(iter(BREAKS[name][0].items()))
    if name == "java":
        text = text.replace("} }", "} static int price(int a, int b, int c) { return a; } }")
        assert not _found({**old, path: text}, {**new, path: text.replace("int n)", "int n, int m)")})
        return
    folder, _, file = path.rpartition("/")
    other = f"{folder}/other/{file}".lstrip("/")
    assert not _found({**old, other: text}, {**new, other: text})


def test_callers_that_may_mean_something_else_are_left_alone() -> None:
    shop = "export function price(n: number): number { return n }\n"
    more = shop.replace("n: number)", "n: number, rate: number)")
    for caller in (
        "import { price } from 'other-shop'\nprice(1)\n",
        "import { price } from './elsewhere'\nprice(1)\n",
        "declare const price: any\nprice(1)\n",
        "import { price } from './shop'\nfunction f(price: any) { return price(1) }\n",
        "import { price } from './shop'\nprice(...all)\n",
        "import { price } from './shop'\nprice(1, 2)\n",
        "shop.price(1)\n",
        "// price(1)\n",
    ):
        assert not _found({"shop.ts": shop, "cart.ts": caller}, {"shop.ts": more, "cart.ts": caller}), caller


def test_what_takes_more_than_before_breaks_nobody() -> None:
    for old, new in (("n: number)", "n: number, rate = 1)"), ("n: number)", "n: number, rate?: number)")):
        shop = "export function price(n: number) { return n }\nprice(1)\n"
        assert not _found({"shop.ts": shop}, {"shop.ts": shop.replace(old, new)})


def test_a_call_that_never_fitted_is_told_only_if_it_is_new() -> None:
    shop = "package a\n\nfunc Price(n int) int { return n }\n"
    more = shop.replace("n int", "n, m int")
    caller = "package a\n\nfunc f() { Price(1, 2, 3) }\n"
    assert not _found({"a.go": shop, "b.go": caller}, {"a.go": more, "b.go": caller})
    assert len(_found({"a.go": shop, "b.go": "package a\n"}, {"a.go": more, "b.go": caller})) == 1


@pytest.mark.parametrize(
    ("language", "text", "arity"),
    [
        ("typescript", "function f(this: A, a: B, b?: C, c = 1, ...d: E[]) {}", (1, None)),
        ("typescript", "const f = x => x", (1, 1)),
        ("javascript", "function* f(a, { b }, c = 1) {}", (2, None)),
        ("go", "package a\nfunc f(a, b int, c string) {}", (3, 3)),
        ("go", "package a\nfunc f(int, string) {}", (2, 2)),
        ("java", "class A { void f(final int a, String... b) {} }", (1, None)),
        ("c", "int f(void) { return 1; }", (0, 0)),
        ("c", "int f() { return 1; }", (0, None)),
        ("c", "char *f(const char *a, ...) { return 0; }", (1, None)),
        ("cpp", "int f(int a, int b = 2, const X &c = X()) { return a; }", (1, 3)),
        ("cpp", "int f(int a, int b = 2); int f(int a, int b) { return a; }", (1, 2)),
        ("rust", "fn f<T>(a: T, (b, c): (u8, u8)) {}", (2, 2)),
    ],
)
def test_parameters_are_counted(language: str, text: str, arity: tuple[int, int | None]) -> None:
    file = read("a", language, text)
    assert file is not None
    [function] = [f for f in file.functions if f.body]
    assert isinstance(function, Function) and (function.needed, function.most) == arity
