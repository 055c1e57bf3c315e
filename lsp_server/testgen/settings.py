"""The settings of calls: files in a folder of the test, a clock that stands, answers on standard input, and so on.

A setting is lines of a test that are run before the call, in the worker as in pytest."""

from __future__ import annotations

import ast
import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace

from famulus.lsp_server.execution.calls import Call
from famulus.lsp_server.execution.functions import Parameter
from famulus.lsp_server.execution.values import Vocabulary, texts
from famulus.lsp_server.testgen import commandline
from famulus.lsp_server.testgen.case import Aim
from famulus.lsp_server.testgen.fixtures import with_fixture
from famulus.lsp_server.testgen.reach import Kind, Needs, needs, reached

RUNNER = "CliRunner()"
SEEDED = "random.seed(1)"
_MOMENTS = ("2024, 2, 25, 12, 30, 5", "2023, 12, 31, 23, 59, 59")
_NEAR = ("2024, 2, 25", "2024, 2, 26", "2024, 3, 1", "2024, 2, 20", "2023, 12, 31", "2024, 1, 1")
_SECONDS = ("1708864205.0", "1704067199.5")
_LINES = (
    "one\\ntwo\\n\\nthree\\n", "", "a\\n", "# note\\nkey = value\\n\\nother=1\\n", "1\\n2\\n3\\n", "a,b\\n1,2\\n3,4\\n",
    "  x  \\ny", "a b\\na c\\n",
)  # fmt: skip
_JSON = ("{}", '{"a": 1, "b": [2]}', "[1, 2]", '{"name": "x"}')
_TYPED = ("Ann\\n", "\\nbob smith\\n", "y\\n", "n\\n", "1\\n2\\n3\\n", "2\\n", "\\n", "a b\\nc\\n\\n")
_ARGV = frozenset(("argv", "args", "arguments", "sys_argv"))


class Settings:
    """Places calls of one function. The same calls get the same settings."""

    def __init__(self, aim: Aim, words: Vocabulary) -> None:
        self.aim, self.words = aim, words
        module = ast.parse(aim.source)
        self.needs: Needs = needs(module, aim.function)
        self._dice = random.Random(zlib.crc32(aim.function.name.encode()))
        self._command = commandline.of_command(module, aim.function)
        self._program = commandline.of_parser(reached(module, aim.function))
        self._number = 0

    @property
    def is_command(self) -> bool:
        """Whether it is run by click or typer."""
        return self._command is not None

    def commands(self, number: int) -> list[Call]:
        """Runs of a command of click or typer, or of a program that reads the command line itself."""
        if self._command is not None:
            _, name, program = self._command
            found = [program.arguments(self._dice) for _ in range(number)]
            calls = [Call("CliRunner.invoke", (name, given), (), RUNNER, source="hint") for given in found]
        elif not [p for p in self.aim.function.parameters if p.required] and self.needs.any:
            calls = [Call(self.aim.function.name, source="hint") for _ in range(number)]
            calls = calls if self.aim.function.how in ("function", "static", "class") else []
        else:
            return []
        return [self.around(call) for call in calls]

    def around(self, call: Call) -> Call:
        """The call with what it needs around it."""
        self._number += 1
        call = self._with_fixtures(self._with_program(call))
        lines: list[str] = []
        for place, parameter in enumerate(_given(self.aim, call)):
            if parameter.name in self.needs.paths:
                call, made = self._with_path(call, place, parameter)
                lines += made
        named = any("str(path)" in text for text in (*call.expressions, *call.setting))
        if named and not any("path = " in line for line in lines):
            lines += self._file("path", self._dice.choice(("file", "file", "new")))
        lines += self._around(call)
        if self.needs.clock:
            call, dates = self._with_dates(call)
            lines = [*dates, *lines]
        return replace(call, setting=(*lines, *call.setting)) if lines else call

    def _with_fixtures(self, call: Call) -> Call:
        """Objects that fixtures of the project give in place of some of the arguments, or of the object."""
        if self._number % 3 == 0 or call.receiver == RUNNER or call.target != self.aim.function.name:
            return call
        own = len(call.expressions) - len(call.args) - len(call.kwargs)
        owner = self.aim.function.owner.name if self.aim.function.owner else ""
        for fixture in self.aim.fixtures:
            if own and fixture.type == owner and not call.before:
                call = with_fixture(call, 0, fixture)
            for place, parameter in enumerate(_given(self.aim, call)):
                if fixture.gives(parameter):
                    call = with_fixture(call, own + place, fixture)
        return call

    def _with_dates(self, call: Call) -> tuple[Call, list[str]]:
        """Dates among the arguments are made before the clock is set, some of them near to what it says."""
        lines = []
        own = len(call.expressions) - len(call.args) - len(call.kwargs)
        for place, parameter in enumerate(_given(self.aim, call)):
            text = call.expressions[own + place]
            if text.startswith(("datetime.date(", "datetime.datetime(")):
                if self._number % 4:
                    kind = text.partition("(")[0]
                    text = f"{kind}({self._dice.choice(_NEAR)}{', 12, 0' if kind.endswith('time') else ''})"
                lines.append(f"{parameter.name} = {text}")
                call = call.replaced(own + place, parameter.name)
        return call, lines

    def _with_program(self, call: Call) -> Call:
        if self._program is None or self._command is not None:
            return call
        own = len(call.expressions) - len(call.args) - len(call.kwargs)
        for place, parameter in enumerate(_given(self.aim, call)):
            if parameter.name in _ARGV and call.expressions[own + place] != "None":
                return call.replaced(own + place, self._program.arguments(self._dice))
        optional = any(p.name in _ARGV for p in self.aim.function.parameters)  # without it, that of the process counts
        if optional or (self.needs.argv and not call.args and not call.kwargs):
            given = self._program.arguments(self._dice)
            line = f'monkeypatch.setattr("sys.argv", ["{self.aim.function.node.name}", {given[1:-1]}])'
            return replace(call, setting=(line.replace(", ])", "])"),))
        return call

    def _around(self, call: Call) -> Iterator[str]:
        found = self.needs
        if found.argv and self._program is None:
            words = [t for t in self.words.texts if re.fullmatch(r"[\w.=-]{1,20}", t)]
            given = [repr(self._dice.choice([*words, "x", "Ann", "3"])) for _ in range(self._number % 4)]
            listed = ", ".join([repr(self.aim.function.node.name), *given])
            yield f'monkeypatch.setattr("sys.argv", [{listed}])'
        if found.stdin:
            yield f'monkeypatch.setattr("sys.stdin", io.StringIO("{self._typed()}"))'
        for name in found.variables:
            if self._number % 3:
                yield f'monkeypatch.setenv("{name}", {self._dice.choice(("x/", "1", "a b", "yes", ""))!r})'
            else:
                yield f'monkeypatch.delenv("{name}", raising=False)'
        yield from self._clock()
        if found.random:
            yield SEEDED

    def _typed(self) -> str:
        own = [t for t in self.words.texts if re.fullmatch(r"[\w .-]{1,20}", t) and not t.endswith(" ")]
        if own and self._dice.random() < 0.4:
            return "".join(self._dice.choice(own) + "\\n" for _ in range(self._dice.choice((1, 2, 3))))
        return _TYPED[self._number % len(_TYPED)]

    def _clock(self) -> Iterator[str]:
        """Lines after which time stands still."""
        turn = self._number % 2
        classes = [name for name, methods in self.needs.clock.items() if methods]
        if classes:
            yield f"moment = datetime.datetime({_MOMENTS[turn]})"
        for name, methods in self.needs.clock.items():
            full = f"{self.aim.module}.{name}"
            if not methods:
                value = _SECONDS[turn] if not name.endswith("_ns") else _SECONDS[turn].replace(".", "") + "00000000"
                yield f'monkeypatch.setattr("{full}", lambda: {value})'
                continue
            day = name.rpartition(".")[2] == "date" or name == "date"
            own = "Today" if day else "Clock"
            rows = [f"class {own}(datetime.{'date' if day else 'datetime'}):"]
            for method in sorted(methods):
                parameters = "cls, tz=None" if method == "now" else "cls"
                value = "moment.date()" if day else "moment.replace(tzinfo=tz)" if method == "now" else "moment"
                rows += ["    @classmethod", f"    def {method}({parameters}):", f"        return {value}"]
            yield "\n".join(rows)
            yield f'monkeypatch.setattr("{full}", {own})'

    def _with_path(self, call: Call, place: int, parameter: Parameter) -> tuple[Call, list[str]]:
        kinds = self.needs.paths[parameter.name]
        kind = kinds[self._number % len(kinds)]
        name = parameter.name
        own = len(call.expressions) - len(call.args) - len(call.kwargs)
        text = f"str({name})" if name in self.needs.texts else name
        return call.replaced(own + place, text), self._file(name, kind)

    def _file(self, name: str, kind: Kind) -> list[str]:
        """Lines that bind a path, and put something there."""
        if kind == "folder":
            ends = [t for t in self.words.texts if re.fullmatch(r"\.\w{1,8}", t)] or [".txt"]
            files = [f"b{ends[0]}", f"a{ends[-1]}", "c.dat"][: self._number % 4]
            return [f"{name} = tmp_path", *(f'(tmp_path / "{n}").write_text("{self._content()}")' for n in files)]
        if kind == "new":
            return [f'{name} = tmp_path / "out.txt"']
        end = next((f".{f}" for f in sorted(self.needs.formats) if f in ("json", "csv")), ".txt")
        made = [f'{name} = tmp_path / "data{end}"']
        if self._number % 5 == 4:
            return made
        content = self._content()
        return [*made, f"{name}.write_text({content!r})" if '"' in content else f'{name}.write_text("{content}")']

    def _content(self) -> str:
        if "json" in self.needs.formats:
            return _JSON[self._number // 2 % len(_JSON)]
        if self._dice.random() < 0.4:
            text = repr(ast.literal_eval(texts(self.words).some(self._dice)))[1:-1]
            return text.replace('"', "").replace("\\'", "'") if text.isascii() else "x\\n"
        return _LINES[self._number // 2 % len(_LINES)]


def _given(aim: Aim, call: Call) -> list[Parameter]:
    """The parameters of the arguments of a call, in their order; none for what is no call of the function itself."""
    if call.receiver == RUNNER:
        return []
    own = [p for p in aim.function.parameters if p.kind in ("position", "either")]
    star = [p for p in aim.function.parameters if p.kind == "star"]
    found = [own[n] if n < len(own) else star[0] for n in range(len(call.args)) if n < len(own) or star]
    named = {p.name: p for p in aim.function.parameters}
    return found + [named[name] for name, _ in call.kwargs if name in named]
