"""``python -m famulus.kernels list | why OPERATION | check | bench``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from itertools import islice
from typing import Any

import torch

from famulus.kernels.check import outcomes, registry
from famulus.kernels.choices import FORMATS, choice, told
from famulus.kernels.op import load_gpu


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
    commands.add_parser("why", help="what is chosen, and why").add_argument("operation")
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
        return _why(options.operation)
    seed = torch.seed() % (1 << 31) if options.seed is None else options.seed
    return _check(seed, options.gpu, 3 if options.quick else None)


if __name__ == "__main__":
    sys.exit(main())
