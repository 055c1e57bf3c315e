"""``python -m famulus.kernels list | why OPERATION | check``."""

from __future__ import annotations

import argparse
import sys
from itertools import islice

import torch

from famulus.kernels.check import outcomes, registry


def _list() -> int:
    for op in registry().values():
        print(f"{op.name:12} {', '.join([*(i.name for i in op.implementations), 'reference'])}")
    return 0


def _why(name: str) -> int:
    op = registry().get(name)
    if op is None:
        print(f"There is no operation {name!r}; there are: {', '.join(registry())}.", file=sys.stderr)
        return 2
    told = set()
    for case in op.cases(torch.Generator().manual_seed(0)):
        key = op.key(*case.arguments)
        if key not in told:
            told.add(key)
            chosen, why = op.choose(key)
            print(f"{name} {key}: {chosen.name} ({why}); e.g. {case.name}")
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
    commands.add_parser("list", help="operations and their implementations")
    commands.add_parser("why", help="what is chosen, and why").add_argument("operation")
    check = commands.add_parser("check", help="every implementation against its reference")
    check.add_argument("--seed", type=int, default=None, help="of the random cases; a fresh one by default")
    check.add_argument("--gpu", metavar="FAMILY", help="only the Triton kernels of a family")
    check.add_argument("--quick", action="store_true", help="the first three cases of each implementation")
    options = parser.parse_args()
    if options.command == "list":
        return _list()
    if options.command == "why":
        return _why(options.operation)
    seed = torch.seed() % (1 << 31) if options.seed is None else options.seed
    return _check(seed, options.gpu, 3 if options.quick else None)


if __name__ == "__main__":
    sys.exit(main())
