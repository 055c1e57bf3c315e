"""Compiling kernels for cards that are not there, and reading what came of it: registers, spills, loads.

It needs no GPU: Triton brings NVIDIA's assembler and disassembler with it. The interpreter can tell whether a kernel
computes the right thing; this tells whether it fits the card, and whether weights are read in 16-byte pieces.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from famulus.kernels.gpu.launch import CARDS, Launch, recording
from famulus.kernels.op import Implementation
from famulus.kernels.tuned import entries

SHARED = {80: 163 << 10, 89: 99 << 10, 90: 227 << 10, 120: 99 << 10}
"""Bytes of shared memory that one program may have (CUDA C++ programming guide, compute capabilities)."""

EIGHT_BITS = "IMMA|IGMMA|QMMA|QGMMA"
"""Tensor-core instructions on int8 and on floats of 8 bits."""


@dataclass(frozen=True)
class Compiled:
    """What one kernel became. ``asynchronous``: sizes in bytes of the asynchronous copies; ``bytewise``: loads of one
    byte from global memory; ``spilled``: bytes of local memory; ``tf32``: products of f32 that lose digits;
    ``eight_bits``: products whose operands both have 8 bits."""

    name: str
    architecture: int
    registers: int
    spilled: int
    shared: int
    asynchronous: tuple[int, ...]
    bytewise: int
    tensor_cores: bool
    eight_bits: bool
    tf32: bool


def compiled(launch: Launch, architecture: int) -> Compiled:
    """Compile for ``architecture`` (90 for sm_90)."""
    attributes = {(place,): [["tt.divisibility", 16]] for place in launch.multiples}
    source = ASTSource(launch.kernel, launch.signature, launch.constants, attributes)
    options = {"num_warps": launch.warps, "num_stages": launch.stages}
    made = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options)
    with tempfile.TemporaryDirectory(prefix="famulus-aot-") as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(made.asm["cubin"])
        usage = _tool("cuobjdump", "--dump-resource-usage", str(path))
        code = _tool("nvdisasm", "-c", str(path))
    return Compiled(
        launch.kernel.__name__,
        architecture,
        int(_found(r"REG:(\d+)", usage)),
        int(_found(r"LOCAL:(\d+)", usage)),
        made.metadata.shared,
        tuple(int(bits or 32) // 8 for bits in re.findall(r"LDGSTS\.E(?:\.BYPASS)?(?:\.LTC\w+)?(?:\.(64|128))?", code)),
        len(re.findall(r"LDG\.E\.[US]8", code)),
        bool(re.search(rf"\b(HMMA|HGMMA|UTCHMMA|{EIGHT_BITS})", code)),
        bool(re.search(rf"\b({EIGHT_BITS})", code)),
        "TF32" in code,
    )


def launches(implementation: Implementation, architecture: int) -> list[Launch]:
    """What an implementation launches for its real shapes, and for those that were tuned on cards of ``architecture``:
    each different kernel once."""
    found: dict[str, Launch] = {}
    for arguments in _arguments(implementation, architecture):
        with recording(CARDS[architecture]) as record:
            implementation.run(*arguments)
        for launch in record:
            found.setdefault(repr(dataclasses.replace(launch, kernel=launch.kernel.__name__)), launch)
    return list(found.values())


def _arguments(implementation: Implementation, architecture: int) -> Iterator[tuple[Any, ...]]:
    gpu = implementation.gpu
    assert gpu is not None
    yield from (arguments for _, arguments in gpu.shapes())
    if gpu.given is not None:
        yield from map(gpu.given, entries(gpu.table, architecture))


def multiplies(launch: Launch) -> bool:
    """Whether the kernel multiplies matrices in 16 or 8 bits: then on tensor cores. The router's product is f32."""
    return "COMPUTE" in launch.constants


def multiplies_8_bits(launch: Launch) -> bool:
    """Whether both operands of the products have 8 bits."""
    return launch.constants.get("COMPUTE") in (tl.int8, tl.float8e4nv)


def _tool(name: str, *arguments: str) -> str:
    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    environment = {**os.environ, "PATH": f"{path.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    return subprocess.run([str(path), *arguments], env=environment, check=True, capture_output=True, text=True).stdout


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, f"{pattern} in what the disassembler says"
    return found[1]
