"""The C++ kernels for 64-bit ARM: cross-compiled, then run by an emulator on the same random cases as here."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parent.parent / "kernels" / "cpu"
CASES = 100


@pytest.mark.timeout(900)
def test_fuzzed_cases_agree_with_float64_on_an_emulated_arm(tmp_path: Path) -> None:
    compiler, emulator = "aarch64-linux-gnu-g++", "qemu-aarch64"
    for tool, package in ((compiler, "g++-aarch64-linux-gnu"), (emulator, "qemu-user")):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} (Debian's package {package})")
    program = tmp_path / "fuzz"
    sources = map(str, [HERE / "fuzz.cpp", *sorted(KERNELS.glob("*.cpp"))])
    flags = ["-std=c++17", "-O1", "-fopenmp", "-pthread", "-fno-math-errno", "-fno-trapping-math", "-static"]
    command = [compiler, *flags, f"-I{KERNELS}", *sources, "-o", str(program)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    seed = str(secrets.randbelow(1 << 62))
    done = subprocess.run(
        [emulator, program, seed, "0", str(CASES)], capture_output=True, text=True, check=False, timeout=600
    )
    print(done.stdout.strip())
    assert done.returncode == 0, f"fuzz {seed} 0 {CASES}\n{done.stdout}\n{done.stderr[-4000:]}"
    assert "levels: neon portable" in done.stdout
