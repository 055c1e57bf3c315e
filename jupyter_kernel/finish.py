"""Makes a filled template ready to run: result's name, rounding, saving, imports, and no name of the user's lost."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection

from famulus.jupyter_kernel.options import free_name
from famulus.jupyter_kernel.schema import Schema

_ALIASES = {
    "pd": "pandas", "np": "numpy", "pl": "polars", "plt": "matplotlib.pyplot", "pa": "pyarrow",
    "pc": "pyarrow.compute", "pq": "pyarrow.parquet", "mdates": "matplotlib.dates",
    "ticker": "matplotlib.ticker", "sns": "seaborn",
}  # fmt: skip
_MEMBERS = {
    "Path": "pathlib", "Counter": "collections", "defaultdict": "collections", "deque": "collections",
    "OrderedDict": "collections", "namedtuple": "collections", "dataclass": "dataclasses", "field": "dataclasses",
    "reduce": "functools", "lru_cache": "functools", "ZoneInfo": "zoneinfo", "Decimal": "decimal",
    "Fraction": "fractions",
}  # fmt: skip


def name_result(code: str, gives: str, name: str, subjects: Collection[str]) -> str:
    """The code with its result bound to ``name``. A template that changes a subject in place changes a copy instead:
    the words ask for something new."""
    body = ast.parse(code).body
    if not body:
        return code
    last = body[-1]
    if gives == "value" and isinstance(last, ast.Expr):
        return _replace_last(code, last, f"{name} = {ast.get_source_segment(code, last.value)}")
    if gives != "change" or name in subjects or name in _bound(body):
        return code
    changed = next((subject for subject in subjects if _changes(body, subject)), None)
    if changed is None:
        return code
    if len(body) == 1 and isinstance(last, ast.Assign) and ast.unparse(last.targets[0]) == changed:
        return f"{name} = {ast.get_source_segment(code, last.value)}"
    return f"{name} = {changed}.copy()\n" + rename(code, {changed: name})


def _bound(body: list[ast.stmt]) -> set[str]:
    """The names that the statements themselves assign."""
    targets = [target for statement in body if isinstance(statement, ast.Assign) for target in statement.targets]
    return {node.id for target in targets for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}  # fmt: skip


def _changes(body: list[ast.stmt], subject: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == subject for statement in body for node in ast.walk(statement))


def _replace_last(code: str, last: ast.Expr, new: str) -> str:
    lines = code.splitlines()
    return "\n".join([*lines[: last.lineno - 1], *new.splitlines()])


def rename(code: str, names: dict[str, str]) -> str:
    """The code with variables renamed; strings, attributes and keyword arguments stay."""
    spots = [
        (node.lineno, node.col_offset, node.id)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Name) and node.id in names
    ]
    lines = [line.encode() for line in code.splitlines()]
    for line, column, name in sorted(set(spots), reverse=True):
        text = lines[line - 1]
        lines[line - 1] = text[:column] + names[name].encode() + text[column + len(name.encode()) :]
    return b"\n".join(lines).decode()


def keep_names(code: str, schema: Schema, allowed: Collection[str]) -> str:
    """The code with names that it binds itself moved out of the way of the user's variables."""
    own = {variable.name for variable in schema.variables} - set(allowed)
    if own.isdisjoint(re.findall(r"\w+", code)):
        return code
    tree = ast.parse(code)
    bound = {
        node.id for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not _inside_scope(tree, node)
    }  # fmt: skip
    clashing = {name for name in bound if schema.variable(name) is not None and name not in allowed}
    return rename(code, {name: free_name(name, schema) for name in clashing}) if clashing else code


def _inside_scope(tree: ast.Module, wanted: ast.Name) -> bool:
    scopes = (
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.Lambda,
        ast.ListComp,
        ast.SetComp,
        ast.DictComp,
        ast.GeneratorExp,
    )
    return any(
        node is wanted for scope in ast.walk(tree) if isinstance(scope, scopes) for node in ast.walk(scope)
    )  # fmt: skip


def round_result(code: str, digits: str) -> str:
    """The code with the value of its last expression rounded."""
    last = ast.parse(code).body[-1]
    if not isinstance(last, ast.Expr) or "round(" in code:
        return code
    value = ast.get_source_segment(code, last.value) or ""
    return _replace_last(code, last, f"round({value}, {digits})")


def save_result(code: str, gives: str, path: str, tabular: bool, rows: bool = False) -> str | None:
    """The code that writes its result to ``path`` (Python source of a string), None where it has no such result."""
    ending = ast.literal_eval(path).rpartition(".")[2].lower()
    if gives == "plot":
        return f"{code}\nplt.savefig({path})" if ending in ("png", "jpg", "jpeg", "svg", "pdf", "gif") else None
    last = ast.parse(code).body[-1]
    if gives != "value" or not isinstance(last, ast.Expr):
        return None
    value = ast.get_source_segment(code, last.value) or ""
    if tabular:
        plain = ", index=False" if rows else ""
        records = ', orient="records"' if rows else ""
        writers = {
            "csv": f".to_csv({path}{plain})", "txt": f".to_csv({path}{plain})", "xlsx": f".to_excel({path}{plain})",
            "tsv": f".to_csv({path}, sep='\\t'{plain})", "parquet": f".to_parquet({path})",
            "json": f".to_json({path}{records})",
        }  # fmt: skip
        return _replace_last(code, last, f"{value}{writers[ending]}") if ending in writers else None
    if ending == "json":
        write = f"Path({path}).write_text(json.dumps({value}, ensure_ascii=False, indent=2), encoding='utf-8')"
    elif ending in ("txt", "md", "log"):
        write = f"Path({path}).write_text(str({value}), encoding='utf-8')"
    else:
        return None
    return _replace_last(code, last, write)


_READERS = {
    "tsv": "read_csv", "csv": "read_csv", "json": "read_json", "parquet": "read_parquet", "xlsx": "read_excel",
    "xls": "read_excel", "feather": "read_feather",
}  # fmt: skip
_READS = re.compile(
    r"\b(?P<pandas>pd|pl)\.(?P<reader>read_csv|read_json|read_excel|read_parquet)"
    r"\((?P<path>'[^'\n]*\.(?P<ending>\w+)')(?P<rest>[,)])"
)


def fit_ending(code: str) -> str:
    """The code with the reader of a table that suits the ending of its path, and tabs between the fields of a tsv."""

    def suited(match: re.Match[str]) -> str:
        ending, rest = match["ending"].lower(), match["rest"]
        reader = _READERS.get(ending, match["reader"])
        plain = rest == ")"
        if not plain and reader != match["reader"]:
            return match[0]  # its options are those of the other reader
        if ending == "tsv" and "sep" not in code:
            rest = f", sep='\\t'{rest}" if match["pandas"] == "pd" else f", separator='\\t'{rest}"
        return f"{match['pandas']}.{reader}({match['path']}{rest}"

    return _READS.sub(suited, code)


def with_imports(code: str, schema: Schema) -> str:
    """The code with the imports that it needs in front, through the user's own aliases where there are some."""
    bound: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add(node.asname or node.name)
    used -= bound
    lines, renamed = [], {}
    for name in sorted(used):
        module = _ALIASES.get(name) or (name if name in sys.stdlib_module_names and not name.startswith("_") else "")
        if name in _MEMBERS and schema.variable(name) is None and name not in schema.imports:
            lines.append(f"from {_MEMBERS[name]} import {name}")
        elif module and schema.variable(name) is None and schema.imports.get(name) != module:
            alias = next((alias for alias, whole in schema.imports.items() if whole == module), None)
            if alias is not None:
                renamed[name] = alias
            elif name in schema.imports:
                renamed[name] = f"_{name}"
                lines.append(f"import {module} as _{name}")
            else:
                lines.append(f"import {module} as {name}" if name != module else f"import {module}")
        elif module and name in _TIME and _is_class(name, schema):
            renamed[name] = f"_{name}"
            lines.append(f"import {module} as _{name}")
    if renamed:
        code = rename(code, renamed)
    return "\n".join([*lines, code])


_TIME = frozenset(("datetime", "time", "date"))


def _is_class(name: str, schema: Schema) -> bool:
    variable = schema.variable(name)
    return variable is not None and variable.kind in ("class", "callable")


_DRAWS = re.compile(r"(?m)^(.*\.(?:plot|bar|barh|hist|scatter|line)\()(.*)\)$")


def paint(code: str, colour: str) -> str:
    """The code with a colour for what it draws, where it sets none itself."""
    if "color" in code or ".pie(" in code:
        return code
    return _DRAWS.sub(lambda match: f"{match[1]}{match[2]}, color={colour!r})", code)


def quiet(code: str) -> str:
    """The code with a semicolon at its end, by which a notebook shows no ``Text(0.5, 0, 'x')`` under a picture."""
    return f"{code};" if isinstance(ast.parse(code).body[-1], ast.Expr) else code


def tidy(code: str) -> str:
    """The code without blank lines at its ends."""
    return re.sub(r"\n{3,}", "\n\n", code.strip("\n"))
