"""Whether the kernel can be copied by a fork now. A copy has one thread: what other threads do is missing in it."""

from __future__ import annotations

import os
import re
import sys
import threading

from famulus import sandbox

_LIBRARIES = {
    "torch": "PyTorch",
    "tensorflow": "TensorFlow",
    "jaxlib": "JAX",
    "cupy": "CuPy",
    "pycuda": "PyCUDA",
    "numba.cuda.cudadrv.driver": "Numba for CUDA",
    "jpype": "JPype",
    "ray": "Ray",
}
_POLARS_POOL = re.compile(r"polars-\d|async-executor")
"""Threads that Polars starts when it first computes; those that it starts when it is imported do no harm."""


def can_cut_off() -> bool:
    """Whether a process of any kind can be cut off on this machine."""
    return sys.platform == "linux" and sandbox.can_confine()


def why_not() -> str:
    """A clause for people, "" if a fork is safe."""
    if sys.platform != "linux":
        return "copies of a kernel can be cut off only on Linux"
    if not sandbox.can_confine():
        return "this Linux kernel has no Landlock to cut a copy off"
    if threading.current_thread() is not threading.main_thread():
        return "only the main thread can copy the kernel"
    for module, name in _LIBRARIES.items():
        if module in sys.modules:
            return f"{name} is loaded, whose threads do not survive in a copy"
    if "polars" in sys.modules and any(_POLARS_POOL.match(name) for name in _thread_names()):
        return "Polars has started its threads, which do not survive in a copy"
    if _is_debugged():
        return "a debugger is attached"
    return ""


def _thread_names() -> list[str]:
    names = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/comm") as file:
                names.append(file.read().strip())
        except OSError:  # it ended
            continue
    return names


def _is_debugged() -> bool:
    pydevd = sys.modules.get("pydevd")
    if pydevd is not None and pydevd.get_global_debugger() is not None:
        return True
    with open("/proc/self/status") as file:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in file)
