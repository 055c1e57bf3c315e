"""The strongest backend: bubblewrap gives the code namespaces of its own (files, processes, network, IPC).

Only allow-listed paths exist inside; everything else, the home folder included, is not hidden but absent.
"""

from __future__ import annotations

import os
import shutil

from .limits import Limits
from .view import ETC, SYSTEM, View

HOME = "/tmp/home"
TMP = "/tmp"
_NOBODY = 65534

APPARMOR_PROFILE = """abi <abi/4.0>,
include <tunables/global>
profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
  include if exists <local/bwrap>
}
"""


def find() -> str | None:
    """The system's ``bwrap``; never one from a user's or a project's folder."""
    return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin:/run/current-system/sw/bin")


def fix(problem: str) -> str:
    """What the user can do about a ``bwrap`` that is missing or does not work."""
    if find() is None:
        return "Install bubblewrap: `apt install bubblewrap` (or `dnf install`, `pacman -S`)."
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


def options(seen: View, *, env: dict[str, str], limits: Limits) -> list[str]:
    """The options of ``bwrap`` (file descriptors and the command itself come from the supervisor).

    The project's paths come last, so that one beneath /tmp or /root stays visible over the empty folder
    there.
    """
    # As root the code runs under another id in its own user namespace: without any right over the machine's.
    uid, gid = (os.getuid(), os.getgid()) if os.getuid() else (_NOBODY, _NOBODY)
    size = ["--size", str(limits.tmp_bytes)]
    made = ["--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    made += ["--unshare-cgroup-try", "--uid", str(uid), "--gid", str(gid), "--hostname", "famulus"]
    made += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in SYSTEM:
        if os.path.islink(path):
            made += ["--symlink", os.readlink(path), path]
        else:
            made += ["--ro-bind-try", path, path]
    for path in ETC:
        made += ["--ro-bind-try", path, path]
    made += ["--proc", "/proc", "--dev", "/dev", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    made += ["--perms", "1777", *size, "--tmpfs", TMP, "--dir", HOME]
    for path in seen.read:
        made += ["--ro-bind", path, path]
    for path in seen.write:
        made += ["--bind", path, path]
    made += ["--remount-ro", "/", "--chdir", seen.cwd or HOME, "--clearenv"]
    for name, value in {"HOME": HOME, "TMPDIR": TMP, **env}.items():
        made += ["--setenv", name, value]
    return made
