"""The strongest backend: bubblewrap gives the code namespaces of its own (files, processes, network, IPC).

Only allow-listed paths exist inside; everything else, the home folder included, is not hidden but absent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

from .view import ETC, SYSTEM, View

HOME = "/tmp/home"
TMP = "/tmp"
_SEARCH = "/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin"
_TO_DROP_ROOT = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH")
_KNOBS = [f"/proc/{name}" for name in ("sys", "sysrq-trigger", "mtrr", "pressure", "irq", "bus")]

APPARMOR_PROFILE = """abi <abi/4.0>,
include <tunables/global>
profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
  include if exists <local/bwrap>
}
"""


def find() -> str | None:
    """The system's ``bwrap``; never one from a user's or a project's folder."""
    return shutil.which("bwrap", path=_SEARCH)


def _setpriv() -> str | None:
    return shutil.which("setpriv", path=_SEARCH)


def missing() -> str:
    """Which program is not installed, as a sentence; empty if none."""
    if find() is None:
        return "bubblewrap is not installed."
    if os.getuid() == 0 and _setpriv() is None:
        return "setpriv, with which bubblewrap's code stops being root, is not installed."
    return ""


def fix(problem: str) -> str:
    """What the user can do about a ``bwrap`` that is missing or does not work."""
    if find() is None:
        return "Install bubblewrap: `apt install bubblewrap` (or `dnf install`, `pacman -S`)."
    if missing():
        return "Install util-linux, or do not run as root."
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps bubblewrap from making namespaces: write this to /etc/apparmor.d/bwrap and run "
            f"`sudo apparmor_parser -r /etc/apparmor.d/bwrap`:\n{APPARMOR_PROFILE}"
        )
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces: `sudo sysctl kernel.unprivileged_userns_clone=1`."
    if _read("/proc/sys/user/max_user_namespaces") == "0":
        return "Allow user namespaces: `sudo sysctl user.max_user_namespaces=15000`."
    if "proc" in problem:
        return "This container masks /proc; start it with `--security-opt systempaths=unconfined`."
    return "This container or kernel forbids user namespaces; allow `unshare` in its seccomp profile."


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def options(
    seen: View, *, env: Mapping[str, str], tmp_bytes: int, uid: int, own: bool = False, mounts: Sequence[str] = ()
) -> list[str]:
    """The options of ``bwrap`` (file descriptors and the command itself come from whoever starts it).

    The project's paths come last, so that one beneath /tmp stays visible over the empty folder there, and the inner
    ones after the outer: an environment inside a folder that may be written stays read-only. ``uid`` is the user id
    that the code gets if the caller is root, else 0. ``own``: the code works on the caller's own files, so that
    root's code stays root, with no right but to read. ``mounts``: further options of the same kind.
    """
    size = ["--size", str(tmp_bytes)]
    made = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    made += ["--hostname", "famulus", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if uid:
        for capability in _TO_DROP_ROOT:
            made += ["--cap-add", capability]
    elif own and os.getuid() == 0:
        made += ["--cap-add", "CAP_DAC_READ_SEARCH"]
    else:
        made += ["--unshare-user", "--uid", str(os.getuid()), "--gid", str(os.getgid())]
    for path in SYSTEM:
        if os.path.islink(path):
            made += ["--symlink", os.readlink(path), path]
        else:
            made += ["--ro-bind-try", path, path]
    for path in ETC:
        made += ["--ro-bind-try", path, path]
    made += ["--proc", "/proc", "--dev", "/dev"]
    if own and os.getuid() == 0:  # these files are root's, and need no other right
        for name in _KNOBS:
            made += ["--ro-bind-try", name, name]
    made += ["--perms", "1777", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    made += ["--perms", "1777", *size, "--tmpfs", TMP, "--perms", "0777", "--dir", HOME]
    binds = [("--ro-bind", path) for path in seen.read] + [("--bind", path) for path in seen.write]
    for how, path in sorted(binds, key=lambda bind: bind[1].count("/")):
        made += [how, path, path]
    made += [*mounts, "--remount-ro", "/", "--chdir", seen.cwd or HOME, "--clearenv"]
    for name, value in {"HOME": HOME, "TMPDIR": TMP, **env}.items():
        made += ["--setenv", name, value]
    return made


def drop_root(uid: int) -> list[str]:
    """The command that goes before the code's own if the caller is root.

    In a user namespace root's code would still be root to the files of /proc/sys (measured: it rewrote
    core_pattern) and free of the process limit. So root builds the namespaces with its own rights, and inside
    them the code becomes a user that exists nowhere else; it keeps the one right to read what root can read, of
    which only the view is there.
    """
    kept = "-all,+dac_read_search"
    return [
        _setpriv() or "",
        f"--reuid={uid}",
        f"--regid={uid}",
        "--clear-groups",
        f"--inh-caps={kept}",
        f"--ambient-caps={kept}",
        f"--bounding-set={kept}",
        "--",
    ]
