"""Random shapes and values through the C++ kernels, under the sanitizers for addresses and undefined behaviour."""

from __future__ import annotations

import platform
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parent.parent / "kernels" / "cpu"
CASES = 600
"""A share of the million that is run by hand when the kernels change: ``fuzz SEED 0 1000000``."""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the kernels are built on Linux alone, for x86-64 and 64-bit ARM",
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels and the cases in one program, with sanitizers that end it at the first finding."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no C++ compiler (g++ or clang++)")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz"
    sources = [HERE / "fuzz.cpp", *sorted(KERNELS.glob("*.cpp"))]
    flags = ["-std=c++17", "-O1", "-g1", "-fopenmp", "-pthread", "-fno-math-errno", "-fno-trapping-math"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [compiler, *flags, *sanitizers, f"-I{KERNELS}", *map(str, sources), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if "asan" in done.stderr and done.returncode:
        pytest.skip(f"the compiler has no sanitizers: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.timeout(900)
def test_fuzzed_cases_agree_with_float64_and_touch_no_foreign_memory(driver: Path) -> None:
    seed = str(secrets.randbelow(1 << 62))
    done = subprocess.run([driver, seed, "0", str(CASES)], capture_output=True, text=True, check=False, timeout=600)
    print(done.stdout.strip())
    assert done.returncode == 0, f"fuzz {seed} 0 {CASES}\n{done.stdout}\n{done.stderr[-4000:]}"
    assert f"{CASES} cases of seed {seed} agree" in done.stdout
    assert "portable" in done.stdout.split("levels:")[1]
