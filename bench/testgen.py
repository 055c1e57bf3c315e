"""``famulus bench testgen``: what generated tests notice of wrong code, on functions of installed packages.

``famulus bench testgen --n 10 --failures`` measures ten functions in some minutes and lists what their tests missed,
per function; a star marks what a tenfold search for inputs shows. With ``--keep FOLDER`` each function is kept when it is
done: the same command goes on where it was cut, and ``--show`` prints the tables of what is there. A folder that is
kept is about one state of the generator: name another one after changing it. The generated tests are in it as well.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from famulus.bench import testgen_table
from famulus.bench.report import heading, revision
from famulus.bench.testgen_holdout import held_out
from famulus.bench.testgen_judge import Judge
from famulus.bench.testgen_keep import Keep, Record
from famulus.bench.testgen_make import PYTHON, judged, made, searched
from famulus.bench.testgen_sample import Chosen, sample

FUNCTIONS = 160
_CHANGES = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="famulus bench testgen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=FUNCTIONS, help=f"functions, {FUNCTIONS} by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="only functions whose key has this in it")
    parser.add_argument("--keep", type=Path, help="a folder for what was measured; it may be there")
    parser.add_argument("--show", action="store_true", help="measure nothing, print what is kept")
    parser.add_argument(
        "--failures", type=int, nargs="?", const=99, default=0, help="show so many functions with misses"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="famulus-bench-testgen-") as scratch:
        keep = Keep(options.keep or Path(scratch))
        command = f"famulus bench testgen --seed {options.seed} --n {options.n}"
        print(heading(command), flush=True)
        chosen = [one for one in sample(options.n, options.seed) if not options.only or options.only in one.key]
        print(_functions(keep, chosen, options.seed, options.failures, measure=not options.show))


def _functions(keep: Keep, chosen: Sequence[Chosen], seed: int, failures: int, *, measure: bool) -> str:
    """The tables of the functions of packages."""
    records = keep.records("functions")
    todo = [one for one in chosen if one.key not in records] if measure else []
    now = revision()
    grouped = itertools.groupby(sorted(todo, key=lambda one: one.project.name), key=lambda one: one.project.name)
    for _, group in grouped:
        listed = list(group)
        with Judge(listed[0].project.files, PYTHON) as judge:
            for one in listed:
                record = _measured(one, judge, seed, now)
                keep.add("functions", record)
                records[one.key] = record
    done = [records[one.key] for one in chosen if one.key in records]
    names = dict.fromkeys(str(one.project) for one in chosen if one.key in records)
    text = [f"Packages: {', '.join(names)}.", testgen_table.ours(done), testgen_table.by_kind(done)]
    if failures:
        text.append(testgen_table.missed(done, failures))
    return "\n\n".join(text)


def _measured(one: Chosen, judge: Judge, seed: int, now: str) -> Record:
    """A function with its tests and what they notice."""
    record = made(one, now)
    spoilt = held_out(one, _CHANGES, seed)
    judged(record, judge, one, spoilt, import_again=False)
    left = [number for number, verdict in enumerate(record.verdicts) if not verdict.ours]
    for number, shown in zip(left, searched(one, [spoilt[n] for n in left]), strict=True):
        record.verdicts[number].pool = shown
    caught = sum(bool(v.ours) for v in record.verdicts)
    killable = sum(v.killable for v in record.verdicts)
    told = f"{one.key}: {caught} of {killable} ({len(record.verdicts)}), {record.seconds:.1f} s {record.why}"
    print(told, file=sys.stderr, flush=True)
    return record


if __name__ == "__main__":
    main()
