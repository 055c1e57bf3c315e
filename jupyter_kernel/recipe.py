'''Recipes: intents with phrasings, typed slots and a code template. This docstring is the manual of the format.

A file of ``recipes/`` is TOML and holds recipes for one library::

    library = "pandas"            # pandas, polars, pyarrow, numpy, matplotlib, python: which frames fit

    [setups]                      # code that makes the data of examples; many recipes may share one
    sales = """
    df = pd.DataFrame({"city": ["Oslo", "Rome", "Oslo"], "price": [12, 8, 20]})
    """

    [[recipe]]
    id = "pandas.mean_by"                       # unique, LIBRARY.words_like_this
    say = [                                     # at least two English and one Chinese; 3-6 and 2-3 are better
      "mean {col} per {by} in {df}",
      "average {col} for each {by}",            # a phrasing may leave slots out: they are filled from the rest
      "按{by}计算{col}的平均值",
    ]
    slots = { df = "frame", col = "column:number", by = "column" }
    code = "{df}.groupby({by})[{col}].mean()"
    gives = "value"
    setup = "sales"                             # a name from [setups], or code itself
    words = "what does an item cost on average in every city?"  # an instruction that is none of the phrasings
    check = "result['Oslo'] == 16"              # expressions on what came out, see below

**Phrasings** are matched as bags of stemmed words with synonyms (``words.py``), so that word order and inflection
matter little: write variants that use *other content words*, not other orders. A slot's neighbours do matter where two
slots of one type compete (``rename {old} to {new}``): keep the little words beside slots (from, to, into, by, 把, 为).
Do not write what the program adds by itself to every recipe: a name for the result (*call it x*, *store in x*, 叫做 x),
*show*/*print*/*please*, *rounded to 2 digits*, *save the result to out.csv*, and imports.

**Slots**, ``name = "TYPE[:KIND][ of SLOT][=DEFAULT]"``. With a default the slot may stay unsaid; without one the recipe
is not proposed unless the words (or a single fitting variable of the namespace) fill it.

=================================================  ====================================================================
type                                               fits; renders as
=================================================  ====================================================================
frame series array list tuple set dict callable    a variable of that kind; its name. KIND of a collection is what it
class database file figure object                  holds: number text dict list time bool, as ``list:number``.
sequence                                           a list, tuple, array or series (KIND as above)
text                                               a variable that holds text, or a quoted text; name or literal
time                                               a variable that holds a date or a time, a date in the words
                                                   (2024-03-01), *today*, *now*; name or ``datetime`` expression
column[:KIND] [of SLOT]                            a column of the frame, or key of the dict or list of dicts, in SLOT
                                                   (default: the only such slot); a string literal.
                                                   KIND: number text time bool category
columns[:KIND] [of SLOT]                           one or more columns; a list literal
number, int                                        a number said in any way (5, three, 10%, 一百, third) or a variable;
                                                   ``number:percent`` only a share: *10%*, *10 percent*, *0.1*
value                                              a literal said in the words: number, quoted text, bare word
word                                               literal text, quoted or one bare word; a string literal
path, folder                                       a file or folder name; a string literal
new                                                an identifier for something new; ``new=counts`` names the default,
                                                   which gets a number where that name is taken
compare                                            *more than*, *at least*, 大于 ...; an operator such as ``>=``
agg                                                *mean*, *total*, 最大 ...; the method name of the library, ``mean``
order                                              *ascending*, *highest first* ...; ``True`` for ascending. Default
                                                   ``=ascending`` or ``=descending``
unit                                               *month*, *weekday*, 年 ...; the name in the ``dt`` accessor
condition [of SLOT]                                *price above 10 and city is Oslo*; a mask or expression in brackets
expr [of SLOT]                                     *price times quantity*; arithmetic over columns in brackets
formula                                            *x^2 + 3*, *sin(x)* typed as a formula of x; an expression with np
pattern                                            *two letters, a dash and digits*; a regular expression
=================================================  ====================================================================

A list literal spoken in the words (*1, 2 and 3*) also fits ``list`` and ``sequence`` where no variable is meant.

**Code** is a template: ``{slot}`` and ``{slot.attribute}`` are replaced for declared slots only, every other brace is
Python's own (do not name a slot like a variable used in a comprehension or an f-string). Attributes: ``.name`` the bare
text without quotes (for labels and inside f-strings), ``.id`` an identifier made of it, ``.time`` a column of the frame
as timestamps (converted if it is stored as text), ``.series`` a column itself, ``.freq`` the period code of a unit
(``M``), ``.descending`` the opposite of an order, ``.fraction`` a number or percentage as a share (*90th* → ``0.9``).
Well-known names need no import in the template (``pd np pl plt``, modules of the standard library by their module
name, ``Path Counter defaultdict``): the program adds what is missing and uses the user's own aliases. Never replace or
change a variable of the user unless the words say so; work on copies. Helper names begin with an underscore.

**gives**: ``value`` the last line is an expression, shown or bound to the name the words give (one expression where you
can) · ``bind`` the code binds its own ``new`` slot (functions, classes, loaded data) · ``plot`` it draws with ``plt``
(never ``plt.show()``) · ``file`` it writes a file · ``change`` it changes a variable in place, as the words ask.

**check** sees the namespace after the run, and ``result`` (the last expression, or what was bound), ``stdout``, ``ax``
(of a plot: ``plt.gca()``); the working folder is empty and temporary. It is one expression that must be true, or
several lines of them. The setup runs with ``pd np pl plt`` and the standard library importable as in templates.
'''

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from famulus.engine.errors import FamulusError

Library = Literal["pandas", "polars", "pyarrow", "numpy", "matplotlib", "python"]
Gives = Literal["value", "bind", "plot", "file", "change"]
FOLDER = Path(__file__).with_name("recipes")
VARIABLES = frozenset(
    ("frame", "series", "array", "list", "tuple", "set", "dict", "callable", "class", "database", "file", "figure",
     "object", "sequence", "text", "time")
)  # fmt: skip
KINDS = frozenset(("", "percent", "number", "text", "time", "bool", "category", "dict", "list"))
# What each type of slot looks like in code: the validator parses templates with these.
SAMPLES = {
    "column": "'c'", "columns": "['c']", "number": "1", "int": "1", "value": "1", "word": "'w'", "path": "'p.csv'",
    "folder": "'d'", "new": "new_name", "compare": ">", "agg": "mean", "order": "True", "unit": "month",
    "condition": "(c > 1)", "expr": "(a + b)", "formula": "(x ** 2)",
    "pattern": "'a+'",
}  # fmt: skip
ATTRIBUTES = frozenset(("name", "id", "time", "series", "freq", "descending", "fraction"))
_SLOT = re.compile(r"(?P<type>[a-z]+)(?::(?P<kind>[a-z]+))?(?: of (?P<of>\w+))?(?:=(?P<default>.+))?$")
_HOLE = re.compile(r"\{(\w+)(?:\.(\w+))?\}")
_CHINESE = re.compile(r"[\u3400-\u9fff]")


class RecipeInvalid(FamulusError):
    """A recipe breaks the rules of the format; the message names the file, the recipe and the rule."""


@dataclass(frozen=True)
class Slot:
    """A typed hole. ``of`` names the slot whose columns are meant; ``default`` is None where it must be said."""

    name: str
    type: str
    kind: str = ""
    of: str = ""
    default: str | None = None


@dataclass(frozen=True)
class Recipe:
    """One intent. ``example`` holds ``setup``, ``words`` and ``check``, all Python but the words."""

    id: str
    library: Library
    say: tuple[str, ...]
    slots: Mapping[str, Slot]
    code: str
    gives: Gives
    example: Mapping[str, str] = field(default_factory=dict)

    def render(self, values: Mapping[str, str], attributes: Mapping[tuple[str, str], str]) -> str:
        """The template with ``{slot}`` from ``values`` and ``{slot.attribute}`` from ``attributes``; holes of other
        names are Python's own braces. Raises KeyError where a declared slot has no value."""

        def fill(hole: re.Match[str]) -> str:
            name, attribute = hole.group(1), hole.group(2)
            if name not in self.slots:
                return hole.group()
            return attributes[name, attribute] if attribute else values[name]

        return _HOLE.sub(fill, self.code)

    def holes(self) -> set[tuple[str, str]]:
        """The slots and attributes that the template uses, the attribute "" where the slot stands alone."""
        return {(m.group(1), m.group(2) or "") for m in _HOLE.finditer(self.code) if m.group(1) in self.slots}


def load(folder: Path = FOLDER) -> tuple[Recipe, ...]:
    """All recipes of a folder, in the order of file names. Raises RecipeInvalid."""
    recipes = [recipe for path in sorted(folder.glob("*.toml")) for recipe in read(path)]
    seen: set[str] = set()
    for recipe in recipes:
        if recipe.id in seen:
            raise RecipeInvalid(f"Two recipes are called {recipe.id}; give one another id.")
        seen.add(recipe.id)
    return tuple(recipes)


def read(path: Path) -> list[Recipe]:
    """The recipes of one file. Raises RecipeInvalid."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RecipeInvalid(f"{path.name} is not TOML: {error}.") from None
    library = data.get("library")
    if library not in get_args(Library):
        raise RecipeInvalid(f"{path.name} must say library = one of {', '.join(get_args(Library))}.")
    setups = data.get("setups", {})
    return [_recipe(entry, cast(Library, library), setups, path.name) for entry in data.get("recipe", [])]


def _recipe(entry: dict[str, Any], library: Library, setups: Mapping[str, str], file: str) -> Recipe:
    known = {"id", "say", "slots", "code", "gives", "setup", "words", "check", "library"}
    name = entry.get("id", "?")
    if set(entry) - known or (known - {"slots", "library"}) - set(entry):
        wrong = sorted((set(entry) - known) | ((known - {"slots", "library"}) - set(entry)))
        raise RecipeInvalid(f"{file}, recipe {name}: fields missing or unknown: {', '.join(wrong)}.")
    slots = {slot: _slot(slot, text, f"{file}, recipe {name}") for slot, text in entry.get("slots", {}).items()}
    setup = str(entry["setup"])
    example = {"setup": setups.get(setup, setup), "words": entry["words"], "check": entry["check"]}
    code = str(entry["code"]).strip("\n")
    return Recipe(
        name, entry.get("library", library), tuple(entry["say"]), slots, code, cast(Gives, entry["gives"]), example
    )


def _slot(name: str, text: str, where: str) -> Slot:
    found = _SLOT.match(text)
    if found is None or found["type"] not in VARIABLES | set(SAMPLES) or (found["kind"] or "") not in KINDS:
        raise RecipeInvalid(f"{where}: slot {name} = {text!r} is no TYPE[:KIND][ of SLOT][=DEFAULT].")
    return Slot(name, found["type"], found["kind"] or "", found["of"] or "", found["default"])


def faults(recipe: Recipe) -> list[str]:
    """What is wrong with a recipe, as sentences; none where it is sound. Loading does not check this: tests do."""
    found = []
    if not re.fullmatch(r"[a-z]+\.[a-z0-9_]+", recipe.id):
        found.append("The id must look like library.words_like_this.")
    if recipe.gives not in get_args(Gives):
        found.append(f"gives must be one of {', '.join(get_args(Gives))}.")
    chinese = sum(bool(_CHINESE.search(say)) for say in recipe.say)
    if chinese < 1 or len(recipe.say) - chinese < 2:
        found.append("There must be two English phrasings and a Chinese one.")
    said = {name for say in recipe.say for name in re.findall(r"\{(\w*)\}", say)}
    if unknown := said - set(recipe.slots):
        found.append(f"Phrasings use slots that are not declared: {', '.join(sorted(unknown))}.")
    holes = recipe.holes()
    if unused := set(recipe.slots) - {name for name, _ in holes} - {slot.of for slot in recipe.slots.values()}:
        found.append(f"Slots are declared and not used: {', '.join(sorted(unused))}.")
    if wrong := {attribute for _, attribute in holes} - ATTRIBUTES - {""}:
        found.append(f"There is no slot attribute {', '.join(sorted(wrong))}.")
    if lost := {slot.of for slot in recipe.slots.values()} - set(recipe.slots) - {""}:
        found.append(f"Slots are 'of' slots that are not declared: {', '.join(sorted(lost))}.")
    if "plt.show(" in recipe.code or "inplace=True" in recipe.code:
        found.append("Templates use neither plt.show() nor inplace=True.")
    return found + _code_faults(recipe)


def _code_faults(recipe: Recipe) -> list[str]:
    values = {name: SAMPLES.get(slot.type, f"{name}_") for name, slot in recipe.slots.items()}
    looks = {"name": "c", "id": "c", "time": "c", "series": "c", "freq": "M", "descending": "False", "fraction": "0.9"}
    code = recipe.render(values, {(name, attribute): looks.get(attribute, "c") for name, attribute in recipe.holes()})
    try:
        body = ast.parse(code).body
    except SyntaxError as error:
        return [f"The template is no Python: {error.msg}, line {error.lineno}."]
    found = []
    if recipe.gives == "value" and not isinstance(body[-1], ast.Expr):
        found.append("The last line of a template that gives a value must be an expression.")
    if recipe.gives == "bind" and not any(slot.type == "new" for slot in recipe.slots.values()):
        found.append("A template that binds needs a slot of type new.")
    for part in ("setup", "check"):
        try:
            ast.parse(recipe.example[part])
        except SyntaxError as error:
            found.append(f"The {part} is no Python: {error.msg}, line {error.lineno}.")
    return found
