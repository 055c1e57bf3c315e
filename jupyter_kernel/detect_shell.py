"""What IPython makes of a line before Python sees it: help, shell and magic lines, and magics without their ``%``."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Container, Sequence

from famulus.jupyter_kernel.detect_words import CHINESE, FUNCTION_WORDS, QUESTIONS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAME = r"(?!\d)[\w*]+(?:\.(?!\d)[\w*]+|\[-?\d+\])*"
_HELP = re.compile(rf"\s*%{{0,2}}({_NAME})\?\??\s*")
_ESCAPED = re.compile(r"(\s*)(?:%|!|\?)")
_ASSIGNED = re.compile(r"(\s*)[^\W\d][\w.,* \t\[\]'\"]*=\s*(?:%\w|!)")
_PROMPT = re.compile(r"[ \t]*(?:>>>(?:[ \t]|$)|In ?\[\d*\]: ?)")
_CONTINUED = re.compile(r"[ \t]*(?:>>>[ \t]?|\.\.\.:?(?:[ \t]|$)|\.{3,}:|In ?\[\d*\]: ?)")
_PATH = re.compile(r"[~.*-]|.*[/\\*~].*|.*\.[A-Za-z0-9]{1,8}|\.\w+|\$\w+|[\"'].*[\"']")
_RANGE = re.compile(r"~?\d*/?\d*(?:-(?:~?\d+/)?\d*)?")
_FLAG = re.compile(r"-{1,2}[A-Za-z][\w-]*(?:=\S*)?|-\d+")
_DOTTED = re.compile(r"[^\W\d]\w*(?:\.\w+)*(?:\[[^\]]*\])*")
_PROSE = FUNCTION_WORDS | QUESTIONS | {"show", "everything", "everyone"}
_PRONOUNS = _words("""
    it them this that these those all both everything everyone again now please how what who why
""")
_TYPES = _words("""
    function module method ndarray Series DataFrame type builtin_function
""")
_ENDS = frozenset("!;:，。？！；：")
_PACKAGES = _words("""
    add audit build cache check clean completion config create debug deactivate activate download env export
    freeze hash help index info init inspect install list lock pip publish python remove repoquery run search
    self shell show sync tool tree uninstall update upgrade venv version wheel
""")

Names = Container[str]


def help_target(line: str) -> str | None:
    """The name that a line ``name?``, ``obj.attr??`` or ``np.*load*?`` asks about; None for any other line."""
    found = _HELP.fullmatch(line)
    return found[1] if found else None


def without_prompts(code: str) -> str | None:
    """The code of a pasted session without ``>>>``, ``...`` or ``In [1]:``; None where its first line has no prompt."""
    if not _PROMPT.match(code):
        return None
    return "\n".join(_CONTINUED.sub("", line, count=1) for line in code.split("\n"))


def plain_python(code: str) -> str | None:
    """The code with a statement of Python in the place of each magic, shell and help line, or None if it has none."""
    lines, found = code.split("\n"), False
    continued = False
    for i, line in enumerate(lines):
        stands = _ESCAPED.match(line) or _ASSIGNED.match(line)
        if continued or stands or (line.rstrip().endswith("?") and help_target(line) is not None):
            indent = "" if continued else line[: len(line) - len(line.lstrip())]
            lines[i] = "" if continued else indent + "pass"
            continued = line.endswith("\\")
            found = True
    return "\n".join(lines) if found else None


def automagic(line: str, names: Names, magics: Container[str]) -> str | None:
    """The magic that IPython would run for this line and whose arguments have its shape, or None.

    A magic without ``%`` works where no variable has its name, and takes everything behind it: *who has the highest
    score* would list variables. So the rest must look like what that magic takes.
    """
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if name not in magics or name in names or rest[-1:] in _ENDS:
        return None
    shape = _SHAPES.get(name, _any_shape)
    return name if not rest or shape(rest.split(), rest, names) else None


Shape = Callable[[Sequence[str], str, Names], bool]


def _bound(name: str, names: Names) -> bool:
    return name in names or hasattr(builtins, name)


def _flag(word: str) -> bool:
    return _FLAG.fullmatch(word) is not None


def _prose(words: Sequence[str]) -> bool:
    """Whether words of sentences are among them; one alone may be a name, but for *it* or *everything*."""
    signs = _PROSE if len(words) > 1 else _PRONOUNS
    return any(word.lower().strip(",.;:?!") in signs or CHINESE.search(word) for word in words)


def _nothing(words: Sequence[str], rest: str, names: Names) -> bool:
    return False


def _flags_only(words: Sequence[str], rest: str, names: Names) -> bool:
    return all(map(_flag, words))


def _switch(words: Sequence[str], rest: str, names: Names) -> bool:
    return len(words) == 1 and words[0].lower() in {"on", "off", "0", "1", "2", "true", "false"}


def _one_word(words: Sequence[str], rest: str, names: Names) -> bool:
    return len(words) == 1 and not _prose(words) and not rest.endswith("?")


def _one_name(words: Sequence[str], rest: str, names: Names) -> bool:
    return _one_word(words, rest, names) and (_DOTTED.fullmatch(rest) is not None or "*" in rest)


def _type_names(words: Sequence[str], rest: str, names: Names) -> bool:
    return all(_bound(word, names) or word in _TYPES for word in words)


def _paths(most: int) -> Shape:
    """At most so many plain words, and none beside a path: *load sales.csv next*."""

    def shape(words: Sequence[str], rest: str, names: Names) -> bool:
        files = [word for word in words if not _flag(word)]
        plain = [word for word in files if not _PATH.fullmatch(word)]
        if _prose(plain) or not all(re.fullmatch(r"[\w\-:+@%]+", word) for word in plain):
            return False
        return not plain or len(files) <= most

    return shape


def _script(words: Sequence[str], rest: str, names: Names) -> bool:
    """``run [flags] file [arguments]``."""
    files = [word for word in words if not _flag(word)]
    if not files:
        return True
    arguments = files[1:]
    if not arguments:
        return _paths(1)(files, rest, names)
    return bool(re.search(r"\.(?:i?py|ipynb)['\"]?$", files[0])) and not _prose(arguments) and "," not in files[0]


def _statement(words: Sequence[str], rest: str, names: Names) -> bool:
    """``time [flags] statement``: it parses, and it is more than a word that nobody has bound."""
    while words and (_flag(words[0]) or words[0].isdigit()):
        rest = rest[len(words[0]) :].strip()
        words = words[1:]
    try:
        body = ast.parse(rest).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    known = (ast.Call, ast.Constant, ast.Assign, ast.Import, ast.ImportFrom, ast.BinOp, ast.ListComp, ast.For)
    for part in body:
        for node in ast.walk(part):
            if isinstance(node, known) or (isinstance(node, ast.Name) and _bound(node.id, names)):
                return True
    return not body


def _command(words: Sequence[str], rest: str, names: Names) -> bool:
    return not _prose(words) and not rest.endswith("?")


def _package_command(words: Sequence[str], rest: str, names: Names) -> bool:
    return (words[0] in _PACKAGES or words[0].startswith("-")) and _command(words, rest, names)


def _ranges(words: Sequence[str], rest: str, names: Names) -> bool:
    """Flags and numbers of cells; a pattern after ``-g``; at most one name or file."""
    if "-g" in words:
        return True
    other = [word for word in words if not _flag(word) and not _RANGE.fullmatch(word)]
    return len(other) <= (1 if len(words) > 1 else 0) and not _prose(other)


def _stored(words: Sequence[str], rest: str, names: Names) -> bool:
    """``store [-r|-d] name …`` or ``store name > file``."""
    if words[0].startswith("-"):
        return True
    before, arrow, _ = rest.partition(">")
    return (bool(arrow) or len(words) == 1) and all(word in names for word in before.split())


def _environment(words: Sequence[str], rest: str, names: Names) -> bool:
    return bool(re.match(r"[A-Za-z_]\w*(?:=|$|\s+\S+$)", rest)) and not _prose(words)


def _setting(words: Sequence[str], rest: str, names: Names) -> bool:
    return bool(re.fullmatch(r"[A-Z]\w+(?:\.\w+)?(?:\s*=.*)?", rest))


def _aliased(words: Sequence[str], rest: str, names: Names) -> bool:
    return (len(words) > 1 and _command(words, rest, names)) or _one_word(words, rest, names)


def _workspace(words: Sequence[str], rest: str, names: Names) -> bool:
    return all(_flag(word) or word in {"in", "out", "dhist", "array"} for word in words)


def _any_shape(words: Sequence[str], rest: str, names: Names) -> bool:
    """A magic that we do not know: flags, paths, numbers and names that are bound, or one word."""
    if _one_word(words, rest, names):
        return True
    return all(_flag(word) or _PATH.fullmatch(word) or word in names or word[0].isdigit() for word in words)


def _table(rows: dict[Shape, str]) -> dict[str, Shape]:
    return {name: shape for shape, listed in rows.items() for name in listed.split()}


_SHAPES = _table(
    {
        _nothing: "pwd lsmagic magic quickref killbgscripts rehashx logon logoff logstate logstop popd dirs"
        " doctest_mode",
        _flags_only: "pprint tb",
        _switch: "automagic autocall pdb",
        _one_word: "autoawait colors xmode precision matplotlib gui pylab unalias page code_wrap dhist",
        _one_name: "load_ext reload_ext unload_ext pinfo pinfo2 pdoc pdef psource pfile psearch xdel",
        _type_names: "who whos who_ls",
        _paths(
            1
        ): "cd ls ll lf lk lx ldir load loadpy edit ed pycat mkdir rmdir pushd notebook logstart man cat rm more less",
        _paths(2): "cp mv",
        _script: "run",
        _statement: "time timeit prun debug",
        _command: "system sx sc",
        _package_command: "pip conda mamba micromamba uv",
        _ranges: "history hist rerun recall rep macro save pastebin",
        _stored: "store",
        _environment: "env set_env",
        _setting: "config",
        _aliased: "alias bookmark alias_magic reset_selective",
        _workspace: "reset",
    }
)
