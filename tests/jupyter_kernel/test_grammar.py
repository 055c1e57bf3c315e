"""Within the grammar a model can only say what exists, and what it says is Python."""

from __future__ import annotations

import ast
import random
import symtable
from collections.abc import Iterator

import llguidance
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from famulus.jupyter_kernel import grammar, grammar_names
from famulus.jupyter_kernel.candidate import Want
from famulus.jupyter_kernel.look import look
from famulus.jupyter_kernel.schema import Schema

SALES = pd.DataFrame({"city": ["Oslo", "Rome"], "price": [12, 8], "two words": [1.5, 2.5], 'it\'s "odd"': [1, 2]})
SCHEMA = look({"sales": SALES, "nums": [3, 4], "x": 5, "text": "a b", "double": lambda n: 2 * n})
TOKENIZER = llguidance.LLTokenizer("byte")
WORDS = "mean price over 10 for Oslo in sales"
CLOSING = b"\n)]}"


def matcher(source: str) -> llguidance.LLMatcher:
    made = llguidance.LLMatcher(TOKENIZER, llguidance.grammar_from("lark", source))
    assert not made.is_error(), made.get_error()
    return made


def accepts(source: str, code: str) -> bool:
    """Whether the grammar lets a model write just this."""
    made = matcher(source)
    return made.consume_tokens(list(f"{code}\n\n".encode())) and made.is_accepting()


def written(source: str, seed: int, soft: int = 60, hard: int = 600) -> str | None:
    """A cell drawn by chance, which from ``soft`` bytes on closes what is open; None if it does not end."""
    made, chosen = matcher(source), random.Random(seed)
    said = bytearray()
    while not made.is_stopped() and len(said) < hard:
        bias = made.compute_logit_bias()
        allowed = [byte for byte in range(256) if bias[byte]]
        if not allowed:
            break
        ending = [byte for byte in allowed if byte in CLOSING] if len(said) > soft else []
        said.append(chosen.choice(ending or allowed))
        made.consume_token(said[-1])
    text = said.decode()
    return text.removesuffix("\n\n") if text.endswith("\n\n") else None


def scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from scopes(child)


@pytest.fixture(scope="module")
def source() -> str:
    return grammar.build(
        "mean price over 10 for Oslo in sales", SCHEMA, Want(numbers=("10",), names=("price", "sales"))
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30))
def test_whatever_is_written_is_python_of_known_names(source: str, seed: int) -> None:
    code = written(source, seed)
    if code is None:
        return
    tree = ast.parse(code)
    live = {"sales", "nums", "x", "text", "double", "result", *grammar_names.BUILTINS, *grammar_names.MODULES}
    free = {s.get_name() for table in scopes(symtable.symtable(code, "cell", "exec")) for s in table.get_symbols()
            if s.is_global() or table.get_type() == "module"}  # fmt: skip
    assert free <= live, code
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert not bound & {"sales", "nums", "x", "text", "double"}, code
    assert not any(isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store)
                   for node in ast.walk(tree)), code  # fmt: skip
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert texts <= {*grammar_names.STRINGS, *SALES.columns, *WORDS.split()}, code


@pytest.mark.parametrize(
    "code",
    [
        "sales['price'].mean()",
        "sales.groupby('city')['price'].mean()",
        "sales[sales['price'] > 10]",
        "sales[(sales['price'] > 10) & (sales['city'] == 'Oslo')]",
        "result = sales.sort_values('price', ascending=False)\nresult",
        "[item ** 2 for item in nums if item > 2]",
        "{k: v for k, v in zip(nums, nums)}",
        "sorted(nums, key=lambda item: -item)[0]",
        "plt.bar(sales['city'], sales['price'])\nplt.title('price')",
        "double(x) + len(text.split())",
        "nums[::-1]",
        "'Oslo' if x > 10 else None",
    ],
)
def test_usual_code_can_be_written(source: str, code: str) -> None:
    assert accepts(source, code)


@pytest.mark.parametrize(
    "code",
    [
        "orders.mean()",
        "sales['cost']",
        "sales.price_mean()",
        "sales = sales.dropna()",
        "sales['price'] = 0",
        "sales.dropna(inplace=True)",
        "nums.push(3)",
        "sales.head(7)",
        "import os",
        "while True: x",
        "item",
        "[k for item in nums]",
        "sales.eval('price')",
    ],
)
def test_what_does_not_exist_or_changes_things_cannot(source: str, code: str) -> None:
    assert not accepts(source, code)


def test_the_name_that_was_asked_for_is_bound() -> None:
    source = grammar.build("mean price, call it m", SCHEMA, Want("bind", name="m"))
    assert accepts(source, "m = sales['price'].mean()")
    assert accepts(source, "m = sales['price'].mean()\nm = round(m, 2)")
    assert not accepts(source, "sales['price'].mean()")


def test_what_the_words_change_can_be_changed() -> None:
    source = grammar.build("add a column total to sales", SCHEMA, Want(names=("sales",), changes=True))
    assert accepts(source, "sales['total'] = sales['price'] * 2")
    assert not accepts(source, "nums[0] = 1")


def test_a_grammar_that_the_engine_would_refuse_is_not_sent() -> None:
    columns = {f"a column with a long name, {j}": [1] for j in range(60)}
    wide = look({f"frame_{i}": pd.DataFrame({f"{name} of {i}": [1] for name in columns}) for i in range(60)})
    assert len(grammar.build("mean", wide, Want())) < 65536
    assert grammar.build("mean", Schema(), Want())
