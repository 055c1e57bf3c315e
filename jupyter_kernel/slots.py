"""From an instruction and a schema to candidates: recipes with their slots filled, and composed queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from famulus.jupyter_kernel import finish, intent, mentions, ordinary
from famulus.jupyter_kernel.arithmetic import arithmetic, share
from famulus.jupyter_kernel.candidate import Candidate, Want
from famulus.jupyter_kernel.compose.expressions import conditions_as_options, expressions
from famulus.jupyter_kernel.compose.propose import composed
from famulus.jupyter_kernel.continued import continued
from famulus.jupyter_kernel.fill import Filler, Filling
from famulus.jupyter_kernel.follow import Previous
from famulus.jupyter_kernel.lookup import lookup
from famulus.jupyter_kernel.mentions import Read
from famulus.jupyter_kernel.modifiers import Modifiers, modifiers
from famulus.jupyter_kernel.option import Context
from famulus.jupyter_kernel.recipe import VARIABLES, Recipe
from famulus.jupyter_kernel.retrieve import Index, index
from famulus.jupyter_kernel.schema import Schema
from famulus.jupyter_kernel.steps import in_steps
from famulus.jupyter_kernel.words import tokens

PHRASINGS = 50
# What matches less than this share of the best match is not worth a rehearsal.
FAR = 0.3
# A query that accounts for every word is still a guess: a recipe that says the same comes first.
COMPOSED = 0.97


def propose(
    words: str, schema: Schema, limit: int = 24, recipes: Index | None = None, previous: Previous | None = None
) -> list[Candidate]:
    """Code that may be what the words mean, the best first; ``match`` is low (under 0.5) where nothing fits well.

    ``previous``: the cell before, from which the words may go on.
    """
    known = recipes or index()

    def alone(text: str, there: Schema) -> list[Candidate]:
        return _alone(text, there, limit, known)

    def each(text: str, there: Schema) -> list[Candidate]:
        return in_steps(text, there, alone(text, there), alone)

    there = schema
    if intent.naming(words, schema) is None:
        words = ordinary.spelt_out(words, schema)
    # A variable called total must not derail "total sales by region".
    hidden = ordinary.hidden(words, schema) - {previous.bound if previous else ""}
    whole = each(words, schema)
    plain = each(words, ordinary.without(schema, hidden)) if hidden else []
    if ordinary.suffices(plain, whole, words, schema, hidden):
        named = intent.naming(words, schema)
        found = ordinary.keep(plain, schema, hidden - {named.name if named else ""})
        there = ordinary.without(schema, hidden)
    else:
        found = whole
    if previous is not None:
        found = continued(words, there, previous, found, alone)
    return found[:limit]


def _alone(words: str, schema: Schema, limit: int, known: Index) -> list[Candidate]:
    named = intent.naming(words, schema)
    want = intent.read(words, schema)
    whole = mentions.read(words, schema)
    if named is not None:
        whole = _without(whole, named.start, named.end)
    exact = ordinary.exactly_named(whole)
    drafts = [draft for read, extra in _readings(whole) for draft in _drafts(read, extra, want, known)]
    found: dict[str, Candidate] = {}
    # Making a draft ready costs more than judging it: only the best are.
    best = max((draft.match for draft in drafts), default=0.0)
    near = [draft for draft in drafts if draft.match >= FAR * best]
    for draft in sorted(near, key=lambda draft: -draft.match)[: 2 * limit]:
        code = draft.complete(want, schema)
        if code is not None and code not in found:
            match = min(draft.match, ordinary.IGNORES) if ordinary.ignores(code, exact, schema) else draft.match
            found[code] = Candidate(code, "recipe", draft.recipe, coverage(code, want, ""), match)
            if len(found) >= limit:
                break
    return sorted(found.values(), key=lambda c: -(c.match + 0.25 * c.coverage))


# Without one of these words a variable is hardly meant to be changed.
CHANGING = frozenset(
    ("add", "remove", "rename", "replace", "fill", "convert", "swap", "chang", "change", "set", "updat", "put",
     "insert", "mov", "move", "clean", "strip", "trim", "clear", "pop", "make", "giv", "increment", "decreas", "rais",
     "cap", "clip", "shuffl", "random", "assign", "turn", "split", "extend", "merge", "mark", "flag", "overwrit",
     "place", "keep", "filter", "round", "uppercase", "lowercase", "capitalize", "titlecase", "normalize", "reset",
     "label", "new", "改", "变", "设", "清", "令", "存")
)  # fmt: skip


@dataclass(frozen=True)
class _Draft:
    """Code that lacks its name, its modifiers and its imports. ``subjects`` are the user's variables that it works on,
    ``new`` the names that it may bind; ``rows`` says that it gives rows of a table."""

    text: Callable[[], str]
    recipe: str
    gives: str
    match: float
    extra: Modifiers
    subjects: tuple[str, ...]
    new: tuple[str, ...] = ()
    rows: bool = False

    def complete(self, want: Want, schema: Schema) -> str | None:
        """The code, None where a modifier cannot be had or the filled template is no Python."""
        try:
            return _complete(self, want, schema)
        except SyntaxError:
            return None


def nearest(words: str, k: int = 4, recipes: Index | None = None) -> list[Recipe]:
    """The recipes nearest to an instruction by its words alone, for examples to a model."""
    said = (recipes or index()).search(tokens(words), k, per_recipe=1)
    return [phrasing.recipe for phrasing in said]


def _without(read: Read, start: int, end: int) -> Read:
    taken = {i for i, token in enumerate(read.tokens) if start <= token.start and token.end <= end}
    return replace(read, taken=read.taken | taken)


def _readings(whole: Read) -> list[tuple[Read, Modifiers]]:
    """The instruction as it stands, and with what can be said of any result (rounded, saved) set aside."""
    found = [(whole, Modifiers())]
    extra = modifiers(whole)
    if extra.taken:
        found.insert(0, (replace(whole, taken=whole.taken | extra.taken), extra))
    return found


def _drafts(read: Read, extra: Modifiers, want: Want, known: Index) -> Iterator[_Draft]:
    for query in composed(read, known, saves=bool(extra.path)) if not mentions.defines(read) else ():
        kind = 0.8 if (want.kind == "plot") != (query.gives == "plot") and want.kind != "file" else 1.0
        match = COMPOSED * kind * query.match
        yield _Draft(partial(str, query.code), "query", query.gives, match, extra, (query.subject,), (), query.rows)
    if (found := arithmetic(read)) is not None:
        yield _Draft(partial(str, found.code), "arithmetic", "value", share(read, found), extra, found.names)
    if (looked := lookup(read)) is not None:
        yield _Draft(partial(str, looked.code), "query", "value", COMPOSED, extra, (looked.name,))
    contexts: dict[str, Context] = {}

    def context(library: str) -> Context:
        if library not in contexts:
            contexts[library] = Context(read, want.name, library, conditions_as_options, expressions)
        return contexts[library]

    filler = Filler(known, context)
    free = [token for i, token in enumerate(read.tokens) if i not in read.taken]
    for said in known.search(free, PHRASINGS):
        for filling in filler.fill(said):
            yield _filled(filling, extra, want, read)


def _filled(filling: Filling, extra: Modifiers, want: Want, read: Read) -> _Draft:
    recipe = filling.phrasing.recipe
    chosen = filling.chosen.items()
    subjects = tuple(o.code for n, o in chosen if recipe.slots[n].type in VARIABLES and o.owner)
    new = tuple(o.code for n, o in chosen if recipe.slots[n].type == "new")
    changing = recipe.gives != "change" or any(token.key in CHANGING for token in read.tokens)
    match = (
        filling.match * (1.0 if changing else 0.85) * _prior(recipe, want, read) + 0.02 * min(filling.fit, 3.0) - 0.03
    )
    return _Draft(lambda: filling.code, recipe.id, recipe.gives, max(0.0, min(match, 1.0)), extra, subjects, new)


def _complete(draft: _Draft, want: Want, schema: Schema) -> str | None:
    code, gives, extra = draft.text(), draft.gives, draft.extra
    if extra.digits and gives == "value":
        code = finish.round_result(code, extra.digits)
    if gives == "plot":
        code = "\n".join([finish.paint(code, extra.colour) if extra.colour else code, *extra.drawing])
    elif extra.drawing or extra.colour:
        return None
    if extra.path:
        tabular = any(v.kind in ("frame", "series") for name in draft.subjects if (v := schema.variable(name)))
        saved = finish.save_result(code, gives, repr(extra.path), tabular, draft.rows)
        if saved is None:
            return None
        code = saved
    code = finish.keep_names(code, schema, {*draft.subjects, *draft.new, want.name})
    if want.name and want.name not in draft.new and not extra.path:
        code = finish.name_result(code, gives, want.name, draft.subjects)
    if gives == "plot":
        code = finish.quiet(code)
    return finish.tidy(finish.with_imports(finish.fit_ending(code), schema))


def _prior(recipe: Recipe, want: Want, read: Read) -> float:
    """Recipes of a library that the user does not use come later, and those that give another kind of outcome."""
    modules = {module.partition(".")[0] for module in read.schema.imports.values()}
    modules |= {variable.library for variable in read.schema.variables}
    prior = _ending(recipe, want)
    if recipe.library in ("polars", "pyarrow") and recipe.library not in modules:
        prior *= 0.85
    if recipe.library == "numpy" and "numpy" not in modules:
        prior *= 0.96
    if (want.kind == "plot") != (recipe.gives == "plot") and want.kind != "file":
        prior *= 0.8
    if want.kind == "file" and recipe.gives not in ("file", "plot", "value"):
        prior *= 0.8
    return prior


_ENDINGS = {
    "csv": ("csv", "tsv"), "json": ("json", "jsonl"), "excel": ("xlsx", "xls"), "parquet": ("parquet",),
    "savefig": ("png", "jpg", "jpeg", "svg", "pdf"), "sqlite": ("db", "sqlite", "sqlite3"), "pickle": ("pkl", "pickle"),
    "zip": ("zip",), "npy": ("npy",), "savetxt": ("txt", "csv", "dat"), "tomllib": ("toml",),
    "configparser": ("ini", "cfg"),
}  # fmt: skip


# What is written as plain text is no file of these kinds.
_BINARY = frozenset(
    ("npy", "npz", "parquet", "pkl", "pickle", "xlsx", "xls", "png", "jpg", "jpeg", "pdf", "db", "sqlite")
)  # fmt: skip
_PLAIN = frozenset(("txt", "md", "log", "rst", "py", "html", "xml"))


def _ending(recipe: Recipe, want: Want) -> float:
    """How well a recipe for one kind of file suits the file that the words name."""
    endings = {path.rpartition(".")[2].lower() for path in want.paths if "." in path}
    if recipe.id == "python.read_text" and endings:
        return 1.0 if endings & _PLAIN else 0.5
    if endings & _BINARY and "write_text(" in recipe.code:
        return 0.5
    said = [known for word, known in _ENDINGS.items() if word in recipe.code.lower() or word in recipe.id]
    if not endings or not said or any(endings & set(known) for known in said):
        return 1.0
    other = any(endings & set(known) for known in _ENDINGS.values())
    return 0.5 if other else 0.8


def coverage(code: str, want: Want, template: str) -> float:
    """The share of the literals and names of the instruction that the code uses."""
    wanted: list[Callable[[], bool]] = []
    for number in want.numbers:
        bare = number.removesuffix("%")
        wanted.append(lambda bare=bare: bare in code or f"{float(bare) / 100:.10g}" in code)  # type: ignore[misc]
    for text in (*want.quoted, *want.paths, *want.names):
        wanted.append(lambda text=text: text in code)  # type: ignore[misc]
    return sum(test() for test in wanted) / len(wanted) if wanted else 1.0
