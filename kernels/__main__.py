"""``python -m famulus.kernels list | why OPERATION [SHAPE] | check | bench``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import sys
from itertools import islice
from typing import Any

import torch

from famulus.kernels.check import outcomes, registry
from famulus.kernels.choices import FORMATS, choice, told
from famulus.kernels.op import load_gpu
from famulus.kernels.tuned import entries, trying


def _list() -> int:
    for op in registry().values():
        print(told(op))
    return 0


def _why(name: str) -> int:
    op = registry().get(name)
    if op is None:
        print(f"There is no operation {name!r}; there are: {', '.join(registry())}.", file=sys.stderr)
        return 2
    examples: dict[Any, str] = {}
    for case in op.cases(torch.Generator().manual_seed(0)):
        examples.setdefault(op.key(*case.arguments), case.name)
    load_gpu()
    for device in ("cpu", "cuda"):
        for key, example in examples.items():
            known: dict[str, Any] = dict(zip(op.words, key[1:], strict=True)) if isinstance(key, tuple) else {}
            if known.get("format", "dense") in FORMATS[device]:
                chosen, why = choice(op, (device, *known.values()) if known else device)
                print(f"{', '.join([f'{name} on {device}', *_conditions(known)])}: {chosen} ({why}); e.g. {example}")
    return 0


def _why_shape(name: str, shape: str) -> int:
    """What cards launch for a ``shape`` in the words of :mod:`famulus.kernels.tuned`; none of them need be here."""
    op = registry().get(name)
    if not load_gpu():
        print("Shapes are those of Triton's kernels, and Triton is not installed.", file=sys.stderr)
        return 2
    gpu = next((i.gpu for i in op.implementations if i.gpu and i.gpu.given), None) if op else None
    if op is None or gpu is None or gpu.given is None:
        tabled = sorted(o.name for o in registry().values() if any(i.gpu and i.gpu.given for i in o.implementations))
        print(f"{name!r} has no tiles that depend on a shape; these have: {', '.join(tabled)}.", file=sys.stderr)
        return 2
    gpu_launch = importlib.import_module("famulus.kernels.gpu.launch")
    try:
        if re.search(r"(?<![\d+-])0+(?!\d)", shape):
            raise ValueError("nothing to compute")
        arguments = gpu.given(shape)
        chosen, why = op.choose(op.key(*arguments))
        told = []
        for card in gpu_launch.CARDS.values():
            with gpu_launch.recording(card) as launches, trying({}) as trial:
                chosen.run(*arguments)
            if trial.asked and shape.rsplit(" ", 1)[0] not in {asked.rsplit(" ", 1)[0] for _, asked in trial.asked}:
                raise ValueError("words that were not understood")
            measured = entries(gpu.table, card.architecture)
            told.append(f"{name} on sm_{card.architecture}: {chosen.name} ({why})")
            told += [f"  {asked}: {'measured' if asked in measured else 'by rule'}" for _, asked in trial.asked]
            for launch in launches:
                tiles = [f"{n} {launch.constants[n]}" for n in ("BM", "BN", "SPLITS") if n in launch.constants]
                tiles += [f"warps {launch.warps}", f"stages {launch.stages}"]
                told.append(f"  {launch.kernel.__name__}: {', '.join(tiles)}")
    except (ArithmeticError, AssertionError, IndexError, KeyError, RuntimeError, StopIteration, TypeError, ValueError):
        arguments = next(gpu.shapes())[1]
        with gpu_launch.recording(gpu_launch.CARDS[90]), trying({}) as trial:
            op.choose(op.key(*arguments))[0].run(*arguments)
        print(f"{name} has no shape {shape!r}; one is {next(iter(trial.asked))[1]!r}.", file=sys.stderr)
        return 2
    print("\n".join(told))
    return 0


def _conditions(known: dict[str, Any]) -> list[str]:
    """What follows the device in a key, in words."""
    return [f"{w} {v}" if w == "format" else w if v else f"not {w}" for w, v in known.items()]


def _bench(arguments: list[str]) -> int:
    """Benchmarks are part of the checkout, not of the package, and may import what this package may not."""
    if importlib.util.find_spec("famulus.bench") is None:
        print("Benchmarks are part of the checkout, not of an installation.", file=sys.stderr)
        return 2
    importlib.import_module("famulus.bench.kernels").main(arguments)
    return 0


def _check(seed: int, gpu: str | None, most: int | None) -> int:
    failed = count = 0
    for op in registry().values():
        for implementation in op.implementations:
            if gpu is not None and not (implementation.gpu and implementation.run.__module__.endswith(f".{gpu}")):
                continue
            for outcome in islice(outcomes(op, implementation, seed), most):
                count += 1
                if not outcome.passed:
                    failed += 1
                    where = f"{outcome.operation}/{outcome.implementation} {outcome.case}"
                    print(f"{where}: error {outcome.error:.2e} > {outcome.tolerance:.0e} (seed {seed})")
    print(f"{count - failed} passed, {failed} failed")
    return 1 if failed else 0


def main() -> int:
    """The command; exit code 0, 1 for a failed check, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m famulus.kernels", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what every operation takes here and on a GPU")
    why = commands.add_parser("why", help="what is chosen, and why")
    why.add_argument("operation")
    why.add_argument("shape", nargs="?", help="in the words of the tuned tables: what each card launches for it")
    check = commands.add_parser("check", help="every implementation against its reference")
    check.add_argument("--seed", type=int, default=None, help="of the random cases; a fresh one by default")
    check.add_argument("--gpu", metavar="FAMILY", help="only the Triton kernels of a family")
    check.add_argument("--quick", action="store_true", help="the first three cases of each implementation")
    commands.add_parser("bench", help="famulus bench kernels, with its arguments", add_help=False)
    options, others = parser.parse_known_args()
    if options.command == "bench":
        return _bench(others)
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if options.command == "list":
        return _list()
    if options.command == "why":
        return _why(options.operation) if options.shape is None else _why_shape(options.operation, options.shape)
    seed = torch.seed() % (1 << 31) if options.seed is None else options.seed
    return _check(seed, options.gpu, 3 if options.quick else None)


if __name__ == "__main__":
    sys.exit(main())
