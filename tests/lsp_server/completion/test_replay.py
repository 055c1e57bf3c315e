"""What the replay benchmark counts as a file that parses."""

from __future__ import annotations

import pytest

from famulus.bench.replay import Parsed, Shown, parsed
from famulus.bench.typist import Function

BEFORE = "import os\n\n\ndef f(n):\n"
AFTER = "\n\n\ndef g():\n    pass\n"


@pytest.mark.parametrize(
    ("typed", "text", "counted"),
    [
        ("    ", "return n", Parsed(1, 1, 0)),
        ("    ", "if n == 0:", Parsed(1, 0, 0)),
        ("    ", "if n:\n        n += 1\n    else:", Parsed(1, 0, 0)),
        ("    if n", " == 0:", Parsed(1, 0, 1)),
        ("    if n", " ==", Parsed(1, 0, 0)),
        ("    if n", " == 0:\n        for x in n:", Parsed(1, 0, 0)),
        ("    return g(\n        n", ", 1)", Parsed(0, 0, 0)),
    ],
)
def test_an_empty_block_counts_as_a_file_that_does_not_parse(typed: str, text: str, counted: Parsed) -> None:
    function = Function("f", "a.py", BEFORE, typed + "...", AFTER)
    assert parsed([Shown(function, len(typed), text)]) == counted
