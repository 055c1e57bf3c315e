"""``famulus bench testgen``: what generated tests notice of wrong code, on functions of installed packages and on bugs.

``famulus bench testgen --part functions --n 10 --failures`` measures about ten functions, two or three of each module,
in some minutes and lists what their tests missed; a star marks what a tenfold search for inputs or the peer shows.
``--part bugs --only dates`` does the same for some of the bugs that were written by hand. With ``--part peer`` (of
these two, or the one of them that is named) Pynguin makes tests of the same functions of a module in as much time.
``--part sample`` tells how much the weak tests of the sample project gain. Two modules are at work at a time. On a busy
machine give more with ``--budget``: it is in seconds of the wall, and what is short of it is no tests.

With ``--keep FOLDER`` each module is kept when it is done: the same command goes on where it was cut, and ``--show``
prints the tables of what is there. A folder is about one state of the generator: name another one after changing it.
The tests themselves are in it as well, and the environment of the peer, which takes a minute to install.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError
from typing import TypeVar

from famulus.bench import testgen_table, testgen_weak
from famulus.bench.report import heading, revision
from famulus.bench.testgen_holdout import Spoilt, held_out
from famulus.bench.testgen_keep import Keep, Module, Record
from famulus.bench.testgen_make import BUDGET, Case
from famulus.bench.testgen_pynguin import Pynguin, coverage
from famulus.bench.testgen_sample import Chosen, sample
from famulus.bench.testgen_slips import bugs
from famulus.bench.testgen_turn import Setting, grouped, key, turns

_Made = TypeVar("_Made")
PARTS = ("functions", "bugs", "peer", "sample")
OF_CODE = PARTS[:2]
FUNCTIONS = 160
_CHANGES = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="famulus bench testgen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be given again")
    parser.add_argument("--n", type=int, default=FUNCTIONS, help=f"functions of packages, {FUNCTIONS} by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only functions whose key has this in it")
    parser.add_argument("--budget", type=float, default=BUDGET, help=f"seconds for a function, {BUDGET:.0f} by default")
    parser.add_argument("--keep", type=Path, help="a folder for what was measured; it may be there")
    parser.add_argument("--show", action="store_true", help="measure nothing, print what is kept")
    parser.add_argument(
        "--failures", type=int, nargs="?", const=99, default=0, help="show so many functions with misses"
    )
    options = parser.parse_args(arguments)
    parts = options.part or PARTS
    beside = "peer" in parts
    of_code = [part for part in OF_CODE if part in parts] or (OF_CODE if beside else ())
    with tempfile.TemporaryDirectory(prefix="famulus-bench-testgen-") as scratch:
        keep = Keep((options.keep or Path(scratch)).resolve())
        command = f"famulus bench testgen --seed {options.seed} --n {options.n} --budget {options.budget:g}"
        print(heading(command), flush=True)
        listed = {part: cases(part, options.n, options.seed, options.only) for part in of_code}
        if not options.show:
            counter = _or_none(lambda: coverage(keep.folder)) if of_code else None
            peer = _or_none(lambda: Pynguin(keep.folder)) if beside else None
            setting = Setting(revision(), options.budget, options.seed, keep.folder if peer else None, counter)
            for part in of_code:
                measure(keep, part, listed[part], setting)
            if "sample" in parts:
                print(f"\n### sample\n\n{testgen_weak.measured()}", flush=True)
        for part in of_code:
            known = keep.records(part)
            records = [known[case.chosen.key] for case in listed[part] if case.chosen.key in known]
            if records:
                print(f"\n### {part}\n\n{_tables(keep, part, listed[part], records, options.failures)}", flush=True)


def cases(part: str, number: int, seed: int, only: str) -> list[Case]:
    """The functions of a part."""
    if part == "functions":
        chosen = [one for one in sample(number, seed) if only in one.key]
        return [Case(one, partial(held_out, one, _CHANGES, seed), again=False, search=True) for one in chosen]
    functions: dict[str, Chosen] = {}
    wrong: dict[str, list[Spoilt]] = {}
    for one, _, spoilt in bugs():
        if only in one.key:
            functions[one.key] = one
            wrong.setdefault(one.key, []).append(spoilt)
    return [Case(one, partial(list, wrong[key]), again=True, search=False) for key, one in functions.items()]


def measure(keep: Keep, part: str, listed: Sequence[Case], setting: Setting) -> None:
    """Make and judge tests for the functions of each module that is not kept, and keep what becomes of them."""
    records, modules = keep.records(part), keep.modules(f"peer-{part}")
    todo = [
        cases
        for cases in grouped(listed)
        if any(case.chosen.key not in records for case in cases) or (setting.peer and key(cases) not in modules)
    ]
    began, in_all = time.monotonic(), len(todo)
    for number, (found, module) in enumerate(turns(todo, setting), start=1):
        for record in found:
            keep.add(part, record)
        if module:
            keep.add(f"peer-{part}", module)
        minutes = (time.monotonic() - began) / 60
        told = (
            f"{part}: {number} of {in_all} modules, {minutes:.1f} min, about {minutes / number * in_all:.0f} in all: "
        )
        print(told + "; ".join(map(_told, found)) + _of_module(module), file=sys.stderr, flush=True)


def _told(record: Record) -> str:
    caught, killable = sum(bool(v.ours) for v in record.verdicts), sum(v.killable for v in record.verdicts)
    return f"{record.key}: {caught} of {killable} ({len(record.verdicts)}), {record.seconds:.1f} s {record.why}"


def _of_module(module: Module | None) -> str:
    if module is None:
        return ""
    return f"; Pynguin {module.seconds:.0f} of {module.budget:.0f} s {module.failed}"


def _tables(keep: Keep, part: str, listed: Sequence[Case], records: Sequence[Record], failures: int) -> str:
    """All tables of a part."""
    keys = {record.key for record in records}
    names = dict.fromkeys(str(case.chosen.project).strip() for case in listed if case.chosen.key in keys)
    made_at = sorted({record.revision for record in records})
    text = [
        f"Of: {', '.join(names)}. Tests made at revision {', '.join(made_at)}, "
        f"with at most {max(record.budget for record in records):g} s for a function."
    ]
    text += [testgen_table.ours(records), testgen_table.by_kind(records)]
    modules = keep.modules(f"peer-{part}")
    if modules:
        text.append(testgen_table.beside(records, list(modules.values())))
    if failures:
        text.append(testgen_table.missed(records, failures))
    return "\n\n".join(text)


def _or_none(install: Callable[[], _Made]) -> _Made | None:
    """What needs a package that may not be there to install."""
    try:
        return install()
    except CalledProcessError as error:
        said = (error.stderr or b"").decode("utf-8", "replace").strip().splitlines()
        print(f"Not installed: {said[-1] if said else error}", file=sys.stderr, flush=True)
        return None


if __name__ == "__main__":
    main()
