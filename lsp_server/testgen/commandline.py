"""Arguments for programs: what a parser of the command line, or a command of click or typer, takes."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from famulus.lsp_server.execution.functions import Function

_TEXTS = ("Ann", "Bob Smith", "x", "a-b", "3")
_NUMBERS = ("1", "2", "3", "0", "10", "-1")
_SELDOM = 6
_WRONG = "--no-such-option"


@dataclass
class Argument:
    """One argument: ``flag`` with its dashes, empty for one that is known by its place; ``takes``: whether a value
    follows a flag; ``choices``: of the value."""

    flag: str = ""
    takes: bool = True
    kind: str = "str"
    choices: tuple[str, ...] = ()
    many: bool = False
    required: bool = False

    def value(self, dice: random.Random) -> str:
        """A text that it may be given, as Python."""
        if self.choices:
            return repr(dice.choice(self.choices))
        if self.kind == "path":
            return "str(path)"
        if self.kind in ("int", "float"):
            return repr(dice.choice(_NUMBERS) + (".5" if self.kind == "float" and dice.random() < 0.5 else ""))
        return repr(dice.choice(_TEXTS))


@dataclass
class Program:
    """``commands``: the arguments of each command by its name, that without a name for what is common to all."""

    commands: dict[str, list[Argument]] = field(default_factory=dict)
    _made: int = 0

    def arguments(self, dice: random.Random) -> str:
        """Arguments as a Python list of texts; now and then they are not what the program takes."""
        self._made += 1
        names = [name for name in self.commands if name]
        found = self._of(self.commands.get("", ()), dice)
        if names:
            name = dice.choice(names)
            found += [repr(name), *self._of(self.commands[name], dice)]
        if self._made % _SELDOM == 0:
            found = found[:-1] if self._made % (2 * _SELDOM) else [*found, repr(_WRONG)]
        return f"[{', '.join(found)}]"

    @staticmethod
    def _of(arguments: Iterable[Argument], dice: random.Random) -> list[str]:
        placed: list[str] = []
        flagged: list[str] = []
        for argument in arguments:
            if not argument.flag:
                if argument.required or dice.random() < 0.6:
                    placed += [argument.value(dice) for _ in range(dice.choice((1, 1, 2, 3)) if argument.many else 1)]
            elif argument.required or dice.random() < 0.4:
                flagged += [repr(argument.flag), *([argument.value(dice)] if argument.takes else [])]
        return placed + flagged


def of_parser(nodes: Sequence[ast.AST]) -> Program | None:
    """What the ``argparse`` parser in a piece of code takes; None if there is none."""
    program = Program({"": []})
    parsers: dict[str, str] = {}
    found = False
    for top in nodes:
        for node in ast.walk(top):
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Call(func=ast.Attribute(attr="add_parser")) as c
                ):
                    if c.args and isinstance(c.args[0], ast.Constant):
                        parsers[name] = str(c.args[0].value)
                        program.commands.setdefault(parsers[name], [])
                case ast.Call(func=ast.Attribute(attr="add_parser"), args=[ast.Constant(value=str(name)), *_]):
                    program.commands.setdefault(name, [])
    for top in nodes:
        for node in ast.walk(top):
            match node:
                case ast.Call(func=ast.Attribute(value=holder, attr="add_argument")):
                    own = parsers.get(holder.id, "") if isinstance(holder, ast.Name) else ""
                    argument = _added(node)
                    found = True
                    if argument is not None:
                        program.commands[own].append(argument)
                case ast.Name(id="ArgumentParser") | ast.Attribute(attr="ArgumentParser"):
                    found = True
    return program if found else None


def _added(node: ast.Call) -> Argument | None:
    flags = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if not flags:
        return None
    given = {k.arg: k.value for k in node.keywords if k.arg}
    action = _text(given.get("action"))
    if action in ("version", "help"):
        return None
    nargs = _text(given.get("nargs"))
    flag = next((f for f in flags if f.startswith("--")), flags[0]) if flags[0].startswith("-") else ""
    kind = ast.unparse(given["type"]) if "type" in given else "str"
    return Argument(
        flag,
        not action.startswith(("store_", "count")),
        _kind(kind, flags[0]),
        _choices(given.get("choices")),
        nargs in ("+", "*"),
        "required" in given if flag else nargs not in ("?", "*"),
    )


def of_command(module: ast.Module, function: Function) -> tuple[str, str, Program] | None:
    """For a command of click or typer: its package, the name of the object that is run, and what that takes."""
    for decorator in function.node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not isinstance(called, ast.Attribute) or called.attr not in ("command", "group"):
            continue
        holder = called.value.id if isinstance(called.value, ast.Name) else ""
        if holder == "click":
            return "click", function.name, Program({"": _of_click(function)})
        kind = _made_by(module, holder)
        if kind == "typer":
            others = _commands(module, holder)
            name = _own_name(decorator, function)
            own = _of_typer(function)
            return "typer", holder, Program({name: own} if others > 1 else {"": own})
        if kind == "click":
            return "click", holder, Program({_own_name(decorator, function): _of_click(function)})
    return None


def runner(source: str, function: Function) -> tuple[str, ...]:
    """The import that runs of a command of click or typer need; none for other functions."""
    if not any(isinstance(d, ast.Call | ast.Attribute) for d in function.node.decorator_list):
        return ()
    found = of_command(ast.parse(source), function)
    return (f"from {found[0]}.testing import CliRunner",) if found else ()


def _made_by(module: ast.Module, name: str) -> str:
    """``typer`` for an application, ``click`` for a group."""
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=bound)], value=ast.Call(func=func)) if bound == name:
                return "typer" if ast.unparse(func).endswith("Typer") else ""
            case ast.FunctionDef(name=own) if own == name:
                return "click" if any("group" in ast.unparse(d) for d in node.decorator_list) else ""
    return ""


def _commands(module: ast.Module, holder: str) -> int:
    """How many commands, and functions that run before each of them, an application has."""
    return sum(
        ast.unparse(d).startswith((f"{holder}.command", f"{holder}.callback"))
        for node in module.body
        if isinstance(node, ast.FunctionDef)
        for d in node.decorator_list
    )


def _own_name(decorator: ast.expr, function: Function) -> str:
    if isinstance(decorator, ast.Call) and decorator.args and isinstance(decorator.args[0], ast.Constant):
        return str(decorator.args[0].value)
    return function.node.name.replace("_", "-")


def _of_typer(function: Function) -> list[Argument]:
    found = []
    for parameter in function.parameters:
        hint = ast.unparse(parameter.annotation) if parameter.annotation else "str"
        flag = "" if parameter.default is None and "Option" not in hint else "--" + parameter.name.replace("_", "-")
        if parameter.default is not None and "Argument(" in ast.unparse(parameter.default) + hint:
            flag = ""
        truth = "bool" in hint
        found.append(Argument(flag, not truth, _kind(hint, parameter.name), (), "list" in hint, parameter.required))
    return found


def _of_click(function: Function) -> list[Argument]:
    found = []
    for decorator in function.node.decorator_list:
        if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
            continue
        what = decorator.func.attr
        names = [a.value for a in decorator.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if what not in ("argument", "option") or not names:
            continue
        given = {k.arg: k.value for k in decorator.keywords if k.arg}
        flag = next((n for n in names if n.startswith("--")), names[0]).partition("/")[0] if what == "option" else ""
        takes = _text(given.get("is_flag")) != "True" and "/" not in names[0]
        kind = ast.unparse(given["type"]) if "type" in given else "str"
        if "type" not in given and isinstance(given.get("default"), ast.Constant):
            kind = type(given["default"].value).__name__  # type: ignore[attr-defined]
        choices = given["type"].args[0] if isinstance(given.get("type"), ast.Call) and "Choice" in kind else None  # type: ignore[attr-defined]
        required = what == "argument" and _text(given.get("required")) != "False"
        found.append(
            Argument(
                flag, takes, _kind(kind, names[0]), _choices(choices), _text(given.get("nargs")) == "-1",
                required or _text(given.get("required")) == "True",
            )
        )  # fmt: skip
    return found


def _kind(hint: str, name: str) -> str:
    if "Path" in hint or "File" in hint:
        return "path"
    if "int" in hint.lower() or "float" in hint.lower():
        return "float" if "float" in hint.lower() else "int"
    return "path" if name.strip("-").lower() in ("path", "file", "filename", "input", "infile") else "str"


def _choices(node: ast.expr | None) -> tuple[str, ...]:
    try:
        value = ast.literal_eval(node) if node is not None else ()
    except (ValueError, TypeError):
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple | set) else ()


def _text(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
