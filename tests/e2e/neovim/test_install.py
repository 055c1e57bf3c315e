"""Neovim 0.12 is installed for the tests once, to its end, and from the archive that the machine itself uses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL = Path(__file__).with_name("install.py")
KEYS = sorted(Path("/usr/share/keyrings").glob("debian-archive-keyring.*"))

# An apt-get whose archive lacks the suite. Its errors are the sources that it was given.
APT = """#!/bin/sh
case "$*" in
  *--print-uris*)
    for suite in bookworm bookworm-updates; do
      echo "'http://archive.test/debian/dists/$suite/InRelease' archive.test_debian_dists_${suite}_InRelease 0"
    done
    echo "'http://archive.test/security/dists/bookworm-security/InRelease' archive.test_security_InRelease 0" ;;
  *) sed "s/^/E: /" "$(dirname "$2")/sources.list"; exit 100 ;;
esac
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the packages are for Linux")


def install(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", INSTALL, folder]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=60)


def test_without_apt_the_reason_is_said(tmp_path: Path) -> None:
    done = install(tmp_path / "neovim", path=str(tmp_path))
    assert (done.returncode, done.stderr) == (3, "")
    assert "no apt-get" in done.stdout or "x86-64" in done.stdout


@pytest.mark.skipif(not KEYS, reason="Debian's keys are not installed")
def test_the_archive_of_the_machines_own_sources_is_asked_for_the_next_suite(tmp_path: Path) -> None:
    (tmp_path / "apt-get").write_text(APT)
    (tmp_path / "apt-get").chmod(0o755)
    done = install(tmp_path / "parts/neovim", path=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 3 and done.stderr == ""
    asked = [line for line in done.stdout.split("E: ") if line.startswith("deb")]
    assert [line.split()[2:] for line in asked] == [["http://archive.test/debian", "forky", "main"]]
    left = [path.name for path in (tmp_path / "parts").iterdir()]
    assert left == ["neovim.lock"]


@pytest.mark.e2e
def test_what_was_made_to_its_end_is_taken_and_a_half_is_not(newer_nvim: Path, tmp_path: Path) -> None:
    made = newer_nvim.parent
    if not (made / "made").exists():
        pytest.skip("Neovim 0.12 is on the PATH, and was not installed for the tests")
    again = install(made, path=str(tmp_path))
    assert again.stdout.strip() == str(newer_nvim)
    half = tmp_path / "parts" / made.name
    shutil.copytree(made, half, ignore=shutil.ignore_patterns("root"))
    moved = install(half, path=str(tmp_path))
    assert moved.returncode == 3, "the paths in it are those of the first folder"
