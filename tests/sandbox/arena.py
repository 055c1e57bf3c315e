"""The trusted side of the escape corpus: real things to protect, the attack, and a look at the damage.

Run by the tests in their own process, and as another user as ``python arena.py ROOT BACKEND LANDLOCK_VERSION``.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def targets() -> Iterator[dict[str, Any]]:
    """A secret, a home, a project, sockets, a descriptor and a process, all within this user's reach."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arena-", dir="/var/tmp"))).resolve()
        project, home = folder / "project", folder / "home"
        (project / ".git" / "hooks").mkdir(parents=True)
        (project / ".git" / "config").write_text("[core]\n")
        (project / "code.py").write_text("answer = 42\n")
        (home / ".ssh").mkdir(parents=True)
        (home / ".ssh" / "id_ed25519").write_text("planted-secret")
        (folder / "secret").write_text("planted-secret")
        (project / "link").symlink_to(folder / "secret")
        listening: dict[str, Any] = {}
        for name, family, kind, address in [
            ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("unix", socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "socket")),
            ("project_unix", socket.AF_UNIX, socket.SOCK_STREAM, str(project / "socket")),
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + folder.name),
        ]:
            listening[name] = stack.enter_context(socket.socket(family, kind))
            listening[name].bind(address)
            listening[name].setblocking(False)
            if kind == socket.SOCK_STREAM:
                listening[name].listen()
        inherited = os.open(folder / "secret", os.O_RDONLY)
        os.set_inheritable(inherited, True)
        stack.callback(os.close, inherited)
        victim = stack.enter_context(subprocess.Popen(["sleep", "60"], cwd=folder, env={"API_KEY": "planted-secret"}))
        stack.callback(victim.kill)
        yield {
            "folder": str(folder), "project": str(project), "home": str(home), "secret": str(folder / "secret"),
            "tcp": listening["tcp"].getsockname()[1], "udp": listening["udp"].getsockname()[1],
            "unix": str(folder / "socket"), "project_unix": str(project / "socket"), "abstract": folder.name,
            "victim": victim.pid, "caller": os.getpid(), "session": os.getsid(0),
            "listening": listening, "process": victim,
        }  # fmt: skip


def snapshot(folder: str) -> dict[str, object]:
    """Everything about every path that an attack could have changed."""
    found: dict[str, object] = {}
    for path in sorted(Path(folder).rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_uid, status.st_mtime_ns, status.st_nlink, content)
        found[f"{path} attributes"] = os.listxattr(path, follow_symlinks=False)
    return found


def attack(backend: Any) -> dict[str, str]:
    """Outcome by attempt, and ``outside:...`` for what the attacks did to the machine."""
    from famulus.sandbox import run, seccomp

    machine = list(seccomp.AUDIT_ARCH).index(os.uname().machine)
    with targets() as target:
        before = snapshot(target["folder"])
        victim = target["process"].pid
        state = (os.sched_getaffinity(victim), os.getpriority(os.PRIO_PROCESS, victim), limits_of(victim))
        handed = {name: value for name, value in target.items() if name not in ("listening", "process")}
        handed["numbers"] = {name: both[machine] for name, both in seccomp.NUMBERS.items()}
        # Root's code keeps the right to read what root can read (of which it only sees its view).
        handed["harmless"] = 1 << 2 if os.getuid() == 0 else 0
        source = Path(__file__).with_name("escapes.py")
        program = [sys.executable, "-I", "-B", str(source)]
        result = run(
            program,
            project=Path(target["project"]),
            readable=[source],
            stdin=json.dumps(handed).encode(),
            backend=backend,
        )
        assert result.ok, result
        outcome: dict[str, str] = json.loads(result.stdout.data)
        now = (os.sched_getaffinity(victim), os.getpriority(os.PRIO_PROCESS, victim), limits_of(victim))
        damage = {
            "files": snapshot(target["folder"]) != before,
            "victim_killed": target["process"].poll() is not None,
            "victim_changed": now != state,
            "planted_in_var_tmp": os.path.exists("/var/tmp/famulus-planted"),
        } | {f"contact_{name}": contacted(one) for name, one in target["listening"].items()}
    return outcome | {f"outside:{name}": "escaped" if bad else "denied" for name, bad in damage.items()}


def limits_of(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()


def contacted(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_STREAM:
            listener.accept()[0].close()
        else:
            listener.recv(10)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    root, chosen, version = sys.argv[1:]
    sys.path.insert(0, root)
    os.environ |= {"SSH_AUTH_SOCK": "planted-secret", "MY_API_KEY": "planted-secret", "PLAIN": "planted-secret"}
    import famulus.sandbox.landlock

    if version != "0":
        famulus.sandbox.landlock.version = lambda: int(version)
    print(json.dumps(attack(chosen)))
