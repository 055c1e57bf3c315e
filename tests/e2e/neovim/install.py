"""Installs Neovim 0.12 or newer into a folder: from Debian's next release, beside the system and not in it.

    python install.py FOLDER

prints the path of the program. apt-get fetches the packages with lists and a cache of its own, from the archive that
the machine's own sources name, checked against Debian's keys; they are unpacked, and the program is told where its
libraries are now. What was made before, to its end, is taken as it is. Where it cannot be had (no apt-get, no archive
of Debian, no network) the exit status is 3, and the reason is printed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SUITE = "forky"
PACKAGES = ("neovim", "patchelf")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"
KEYS = Path("/usr/share/keyrings")
CANNOT = 3

# The machine's own settings hold as well (proxies, certificates), but for hooks that clean its cache, and pins.
SETTINGS = """
#clear APT::Update;
APT {{ Architecture "amd64"; Install-Recommends "false"; Sandbox::User "root"; }};
Acquire {{ Languages "none"; Retries "1"; http::Timeout "20"; https::Timeout "20"; }};
Dir {{
  State "{apt}"; State::status "{apt}/status"; Cache "{apt}";
  Etc {{ sourcelist "{apt}/sources.list"; sourceparts "/dev/null"; }};
  Etc {{ preferences "/dev/null"; preferencesparts "/dev/null"; }};
}};
"""

SCRIPT = """#!/bin/sh
export VIMRUNTIME="{root}/usr/share/nvim/runtime"
export LUA_PATH="{root}/usr/share/lua/5.1/?.lua;;" LUA_CPATH="{root}/{libraries}/lua/5.1/?.so;;"
exec "{root}/usr/bin/nvim" "$@"
"""


class Unavailable(Exception):
    """Neovim cannot be installed on this machine; says why."""


def apt(*arguments: str) -> str:
    """What apt-get prints. Raises Unavailable with its errors."""
    environment = os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True, timeout=240)
    except FileNotFoundError as error:
        raise Unavailable("there is no apt-get") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable("apt-get did not end in four minutes") from error
    if done.returncode != 0:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "W:", "Err:"))]
        raise Unavailable(f"apt-get: {' '.join(errors)}")
    return done.stdout


def archives() -> list[str]:
    """The archives of the machine's own sources, without those of updates."""
    indexes = re.findall(r"'(\S+)/dists/([^\s/']+)/InRelease'", apt("update", "--print-uris"))
    return list(dict.fromkeys(archive for archive, suite in indexes if "-" not in suite))


def fetch(folder: Path) -> list[Path]:
    """The packages, and all that they need."""
    keys = next(iter(sorted(KEYS.glob("debian-archive-keyring.*"))), None)
    found = archives() if keys else []
    if not found:
        raise Unavailable("the sources of apt name no archive of Debian")
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text("".join(f"deb [signed-by={keys}] {url} {SUITE} main\n" for url in found))
    settings = folder / "apt.conf"
    settings.write_text(SETTINGS.format(apt=folder))
    with contextlib.suppress(Unavailable) if len(found) > 1 else contextlib.nullcontext():
        apt("-c", str(settings), "update")
    apt("-c", str(settings), "install", "--download-only", "--yes", *PACKAGES)
    return sorted((folder / "archives").glob("*.deb"))


def unpack(packages: list[Path], made: Path, final: Path) -> None:
    """The program in ``made``, which will be moved to ``final``."""
    root = made / "root"
    for package in packages:
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    # patchelf is of the same release: it runs with that release's libraries.
    patchelf = [root / LOADER, "--library-path", root / LIBRARIES, root / "usr/bin/patchelf"]
    there = final / "root"
    places = ["--set-interpreter", there / LOADER, "--force-rpath", "--set-rpath", there / LIBRARIES]
    subprocess.run([*patchelf, *places, root / "usr/bin/nvim"], check=True)
    script = made / "nvim"
    script.write_text(SCRIPT.format(root=there, libraries=LIBRARIES))
    script.chmod(0o755)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two that install at once: the second waits, and finds what the first made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(folder: Path) -> Path:
    """The program. Raises Unavailable."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Unavailable(f"the packages are for Linux on x86-64, not for {platform.system()} {platform.machine()}")
    recipe = hashlib.sha256(f"{folder}\n".encode() + Path(__file__).read_bytes()).hexdigest()
    program, made = folder / "nvim", folder / "made"
    with alone(folder):
        if made.exists() and made.read_text() == recipe:
            return program
        for old in (folder, *folder.parent.glob(f"{folder.name}.new*")):
            shutil.rmtree(old, ignore_errors=True)
        # A name of its own: of an installation that was killed, apt-get may still be at work.
        new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.new", dir=folder.parent))
        try:
            unpack(fetch(new / "apt"), new, folder)
            shutil.rmtree(new / "apt")
            (new / "made").write_text(recipe)
            new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return program


if __name__ == "__main__":
    try:
        print(install(Path(sys.argv[1]).resolve()))
    except Unavailable as error:
        print(error)
        sys.exit(CANNOT)
