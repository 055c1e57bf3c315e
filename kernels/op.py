"""The one dispatcher: an operation, its reference, and the implementations that may stand in for it.

An operation is declared once with :func:`op` on its reference (plain torch, slow, obvious); faster implementations
register against it with :meth:`Op.implement`. A call looks up the decision for its ``key`` (the device, or a tuple that
begins with it), made once: what is forced, else the first whose rule holds, those for a GPU before the others and the
reference last. ``python -m famulus.kernels why OP`` prints it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, ParamSpec, TypeVar

import torch

GPU_FAMILIES = ("norm", "activation", "rope", "linear", "moe", "attention", "router", "sample", "indexer")
"""The modules of :mod:`famulus.kernels.gpu` that hold Triton kernels."""

Function = Callable[..., Any]
P = ParamSpec("P")
R = TypeVar("R")


def interpreting() -> bool:
    """Whether Triton runs its kernels in Python, on tensors of the CPU (``TRITON_INTERPRET=1``)."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


def on_gpu(device: str) -> bool:
    """Whether Triton kernels are for tensors of ``device``; "meta" stands for a card that is not there."""
    return device in ("cuda", "meta") or (device == "cpu" and interpreting())


@cache
def load_gpu() -> bool:
    """Register the Triton implementations; False without Triton."""
    if importlib.util.find_spec("triton") is None:
        return False
    for family in GPU_FAMILIES:
        importlib.import_module(f"famulus.kernels.gpu.{family}")
    return True


@dataclass(frozen=True)
class Gpu:
    """That an implementation runs on a GPU, and what it is compiled and measured with.

    ``shapes`` yields named arguments of real models, on the ``meta`` device; all kernels must compile for them, for
    every architecture. ``streams``: the weights are the bytes that count, so they must be read in 16-byte pieces.
    ``table``: the one of :mod:`famulus.kernels.tuned` that is asked; ``given`` makes such arguments for a shape there.
    """

    shapes: Callable[[], Iterator[tuple[str, tuple[Any, ...]]]]
    streams: bool = False
    table: str = ""
    given: Callable[[str], tuple[Any, ...]] | None = None


@dataclass(frozen=True)
class Implementation:
    """One way to compute an operation. ``rule`` takes the operation's key; ``why`` says when the rule holds."""

    name: str
    run: Function
    rule: Callable[[Any], bool]
    why: str
    gpu: Gpu | None = None


@dataclass(frozen=True)
class Case:
    """Arguments of one check. ``tolerance`` is the largest error relative to the reference's largest value."""

    name: str
    arguments: tuple[Any, ...]
    tolerance: float


@dataclass
class Op(Generic[P, R]):
    """A callable operation; see the module's text. ``cases`` yields fresh random arguments for a seed. ``words`` says
    what follows the device in a key: "format" (of the weights), else what is so where it is True. ``made_of``: names of
    the operations that a layer calls one by one where no implementation applies; then this one is not called at all."""

    name: str
    reference: Callable[P, R]
    key: Callable[..., Hashable]
    cases: Callable[[torch.Generator], Iterator[Case]]
    bytes_moved: Callable[..., int]
    words: tuple[str, ...] = ()
    made_of: tuple[str, ...] = ()
    implementations: list[Implementation] = field(default_factory=list)
    forced: str | None = None
    _chosen: dict[Hashable, Callable[P, R]] = field(default_factory=dict)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        key = self.key(*arguments, **named)
        run = self._chosen.get(key)
        if run is None:
            run = self._chosen[key] = self.choose(key)[0].run
        return run(*arguments, **named)

    def implement(
        self, name: str, *, rule: Callable[[Any], bool], why: str, gpu: Gpu | None = None
    ) -> Callable[[Function], Function]:
        """Register an implementation that is used where ``rule(key)`` holds.

        One for a GPU stands before the others, and is asked only about keys whose device is one.
        """

        def register(run: Function) -> Function:
            applies = (lambda key: on_gpu(_device(key)) and rule(key)) if gpu else rule
            made = Implementation(name, run, applies, why, gpu)
            self.implementations.insert(0 if gpu else len(self.implementations), made)
            return run

        return register

    def choose(self, key: Any) -> tuple[Implementation, str]:
        """The implementation for ``key`` and the reason in words."""
        if on_gpu(_device(key)):
            load_gpu()
        reference = Implementation("reference", self.reference, lambda _: True, "no faster implementation applies")
        every = [*self.implementations, reference]
        if self.forced is not None:
            return next(i for i in every if i.name == self.forced), "forced"
        chosen = next(i for i in every if i.rule(key))
        return chosen, chosen.why

    def force(self, name: str | None) -> None:
        """Use one implementation everywhere (None: decide again). For checks and for bisecting a wrong result."""
        if name is not None and name not in {"reference", *(i.name for i in self.implementations)}:
            raise ValueError(f"{self.name} has no implementation {name!r}")
        self.forced = name
        self._chosen.clear()


def _device(key: Any) -> str:
    return key if isinstance(key, str) else str(key[0])


REGISTRY: dict[str, Op[Any, Any]] = {}


def op(
    *,
    key: Callable[..., Hashable],
    cases: Callable[[torch.Generator], Iterator[Case]],
    bytes_moved: Callable[..., int],
    words: tuple[str, ...] = (),
    made_of: tuple[str, ...] = (),
) -> Callable[[Callable[P, R]], Op[P, R]]:
    """Declare an operation; the decorated function is its reference and its meaning."""

    def declare(reference: Callable[P, R]) -> Op[P, R]:
        made: Op[P, R] = Op(reference.__name__, reference, key, cases, bytes_moved, words, made_of)
        made.__doc__ = reference.__doc__
        REGISTRY[made.name] = made
        return made

    return declare
