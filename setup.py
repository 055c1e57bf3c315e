"""The one part of the package that is compiled: kernels for the processor. Without a compiler it is left out.

No ``-march``: every file says itself which instructions it uses, and the best level is chosen at run time.
"""

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("famulus/kernels/cpu")
FLAGS = ["-O3", "-std=c++17", "-fopenmp", "-pthread", "-fno-exceptions", "-fno-rtti"]
FLAGS += ["-fno-math-errno", "-fno-trapping-math"]

compiled = Extension(
    "famulus.kernels.cpu.native",
    sources=sorted(str(path) for path in SOURCES.glob("*.cpp")),
    depends=sorted(str(path) for pattern in ("*.h", "*.inc") for path in SOURCES.glob(pattern)),
    extra_compile_args=[*FLAGS, "-Wall", "-Wextra", "-Wno-maybe-uninitialized"],
    extra_link_args=["-fopenmp"],
    language="c++",
    optional=True,
)
# Only where it has been run: other systems and processors take torch's own operations.
supported = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
setup(ext_modules=[compiled] if supported else [])
