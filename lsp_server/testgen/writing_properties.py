"""How tests of properties read: a few arguments, and what holds for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from famulus.lsp_server.execution import pytest_text
from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.testgen import naming
from famulus.lsp_server.testgen.case import Aim, Property
from famulus.lsp_server.testgen.style import Style
from famulus.lsp_server.testgen.writing import Written


def of_properties(aim: Aim, properties: Sequence[Property], taken: Iterable[str], style: Style) -> list[Written]:
    """Tests of what holds for all arguments; none has a name of ``taken``."""
    used = set(taken)
    short = style.form != "functions"
    holder = naming.camel(aim.function.node.name) if short else ""
    found = []
    for one in properties:
        name = naming.free(f"test_{'' if short else naming.slug(one.target) + '_'}{one.title}", used)
        used.add(name)
        table = len(one.arguments) > 1 and style.tables
        head = _table(one, name) if table else [f"def {name}():", *_given(one)]
        head = [
            line.replace("):", ") -> None:") if style.annotated and line.startswith("def ") else line for line in head
        ]
        text = "\n".join([*head, f"    assert {one.statement}"]) + "\n"
        imports = ["import pytest"] if table else []
        imports += [f"from {aim.module} import {', '.join(sorted({one.target, one.other} - {''}))}"]
        for argument in (text for row in one.arguments for text in row):
            lines = pytest_text.imports(aim.module, Call("str", (argument,)), "")
            imports += [line for line in lines if line and not line.endswith("import str")]
        package = aim.module.partition(".")[0]
        found.append(Written(name, text, tuple(dict.fromkeys(imports)), holder, package, (one,)))
    return found


def _given(one: Property) -> list[str]:
    return [f"    {name} = {text}" for name, text in zip(one.names, one.arguments[0], strict=True)]


def _table(one: Property, name: str) -> list[str]:
    names = ", ".join(f'"{key}"' for key in one.names)
    rows = [row[0] if len(row) == 1 else f"({', '.join(row)})" for row in one.arguments]
    columns = names if len(one.names) == 1 else f"({names})"
    return [f"@pytest.mark.parametrize({columns}, [{', '.join(rows)}])", f"def {name}({', '.join(one.names)}):"]
