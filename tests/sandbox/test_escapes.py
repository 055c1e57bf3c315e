"""Nothing in the corpus may get out: on each backend, as root and as an ordinary user."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from famulus.sandbox import landlock, selftest

HERE = Path(__file__).parent
ROOT = Path(selftest.__file__).resolve().parents[1]
GROUPS = ["read", "write", "metadata", "network", "process", "kernel", "inherited", "outside"]


def arena() -> ModuleType:
    spec = importlib.util.spec_from_file_location("arena", HERE / "arena.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def outcomes(backend: str, version: int, python: str, nobody: bool) -> dict[str, str]:
    """What came of every attempt, in a caller of its own with secrets in its environment."""
    identity = {"user": 65534, "group": 65534, "extra_groups": []} if nobody else {}
    done = subprocess.run(
        [python, "-P", "-B", str(HERE / "arena.py"), str(ROOT), backend, str(version)],
        capture_output=True, text=True, timeout=60, check=False, cwd="/", env={"PATH": "/usr/bin:/bin"},
        **identity,
    )  # type: ignore[call-overload]  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def judge(found: dict[str, str], group: str) -> None:
    chosen = {name: outcome for name, outcome in found.items() if name.startswith(group + ":")}
    assert chosen
    assert {name: outcome for name, outcome in chosen.items() if outcome != "denied"} == {}


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_escapes(backend: str, group: str) -> None:
    judge(outcomes(backend, 0, sys.executable, False), group)


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_escapes_from_an_ordinary_user(backend: str, group: str, nobody_python: str) -> None:
    judge(outcomes(backend, 0, nobody_python, True), group)


@pytest.mark.parametrize("version", [1, 3, 5])
def test_nothing_escapes_on_older_kernels(version: int) -> None:
    """What an older Landlock cannot see, the system-call filter must deny."""
    if landlock.version() <= version:
        pytest.skip(f"this kernel's Landlock is no newer than {version}")
    found = outcomes("landlock", version, sys.executable, False)
    assert {name: outcome for name, outcome in found.items() if outcome != "denied"} == {}


def test_the_corpus_can_fail() -> None:
    """Without a sandbox the same attempts succeed, so a denial above says something."""
    attacker = arena()
    with attacker.targets() as target:
        handed = {name: value for name, value in target.items() if name not in ("listening", "process")}
        numbers = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
        from famulus.sandbox import seccomp

        handed["numbers"] = {name: both[numbers] for name, both in seccomp.NUMBERS.items()}
        handed["harmless"] = 0
        done = subprocess.run(
            [sys.executable, "-I", "-B", str(HERE / "escapes.py")],
            input=json.dumps(handed), capture_output=True, text=True, timeout=60, check=True,
            env={"TMPDIR": target["folder"], "HOME": target["home"], "API": "planted-secret"},
        )  # fmt: skip
        found: dict[str, str] = json.loads(done.stdout)
        contacts = {name for name, one in target["listening"].items() if attacker.contacted(one)}
    Path("/var/tmp/famulus-planted").unlink(missing_ok=True)
    succeeded = {name for name, outcome in found.items() if outcome == "escaped"}
    assert {
        "read:secret", "read:home", "read:environ_of_victim", "read:secret_through_link_in_project",
        "write:secret", "write:new_project_file", "write:git_hook", "write:links_hard", "write:truncates",
        "network:tcp4", "network:udp4", "network:unix_path", "network:unix_abstract", "network:netlink",
        "process:traces_victim", "process:signals", "process:changes_priority", "process:changes_limits",
        "kernel:unshare_user", "kernel:clones_into_namespace", "kernel:inotify_init1", "kernel:shmget",
        "kernel:memfd_create", "inherited:environment", "inherited:home_folder", "inherited:session",
    } <= succeeded  # fmt: skip
    assert contacts >= {"tcp", "udp", "unix", "abstract"}
    assert len(succeeded) > 60, len(succeeded)
