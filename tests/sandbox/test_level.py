"""The level is earned by the self-test, told with its fix, and never lowered silently."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from famulus.sandbox import SandboxUnavailable, bubblewrap, landlock, level, run, seccomp, selftest

from .conftest import ROOT


@pytest.fixture
def fresh() -> Iterator[None]:
    level.cache_clear()
    yield
    level.cache_clear()


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(bubblewrap, "find", lambda: None)


def test_the_strongest_that_passes_is_used(backend: str) -> None:
    order = ["bubblewrap", "landlock", "none"]
    assert order.index(level().name) <= order.index(backend)
    assert run(["/bin/true"]).level == level().name


def test_without_bubblewrap_landlock_does_it(no_bubblewrap: None) -> None:
    if landlock.version() < 1:
        pytest.skip("the kernel has no Landlock")
    found = level()
    assert found.name == "landlock"
    assert "not installed" in found.reason
    assert "apt install bubblewrap" in found.fix
    assert run(["/bin/true"]).level == "landlock"


def test_with_neither_code_is_refused(no_bubblewrap: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    assert level().name == "none"
    with pytest.raises(SandboxUnavailable, match="Landlock") as caught:
        run(["/bin/true"])
    assert "apt install bubblewrap" in caught.value.fix


def test_a_backend_that_lets_something_through_is_not_used(
    no_bubblewrap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take the system-call filter away: Landlock alone lets sockets and more pass, and the probe must notice."""
    if landlock.version() < 1:
        pytest.skip("the kernel has no Landlock")
    monkeypatch.setattr(selftest, "start", without_filter)
    found = level()
    assert found.name == "none"
    for name in ("sends_udp", "traces", "makes_namespaces"):
        assert name in found.reason


def without_filter(backend: str, argv: list[str], **options: object) -> object:
    """`process.start` with a supervisor whose filter allows every call."""
    from famulus.sandbox import process

    permissive = (
        "import sys, types; package = types.ModuleType('famulus_sandbox'); "
        "package.__path__ = [sys.argv.pop(1)]; sys.modules['famulus_sandbox'] = package; "
        "from famulus_sandbox import seccomp; "
        "seccomp.program = lambda machine, landlock: bytes.fromhex('060000000000ff7f'); "
        "from famulus_sandbox.supervisor import main; main()"
    )
    original = process._BOOT
    process._BOOT = permissive
    try:
        return process.start(backend, argv, **options)  # type: ignore[arg-type]
    finally:
        process._BOOT = original


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, "profile bwrap /usr/bin/bwrap"),
        ({"/proc/sys/kernel/unprivileged_userns_clone": "0"}, "unprivileged_userns_clone=1"),
        ({"/proc/sys/user/max_user_namespaces": "0"}, "max_user_namespaces="),
        ({}, "container"),
    ],
)
def test_the_fix_fits_the_machine(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], word: str) -> None:
    monkeypatch.setattr(bubblewrap, "find", lambda: "/usr/bin/bwrap")
    monkeypatch.setattr(bubblewrap, "_read", lambda path: files.get(path, ""))
    assert word in bubblewrap.fix("bwrap: setting up uid map: Permission denied")


def test_a_bubblewrap_that_fails_is_told_apart_from_code_that_fails(
    monkeypatch: pytest.MonkeyPatch, fresh: None, tmp_path: object
) -> None:
    monkeypatch.setattr(bubblewrap, "find", lambda: "/bin/false")
    found = selftest.check("bubblewrap")
    assert found.startswith("bubblewrap does not work here")


def test_an_unknown_processor_is_refused(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setattr(seccomp, "AUDIT_ARCH", {})
    assert level().name == "none"
    assert "processors" in level().reason


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_import_it_and_refuse(platform: str) -> None:
    code = f"""
import sys
for name in ("resource", "fcntl", "termios", "pwd", "grp"):
    sys.modules[name] = None
sys.platform = {platform!r}
sys.path.insert(0, {str(ROOT)!r})
from famulus.sandbox import SandboxUnavailable, level, run
assert level().name == "none" and level().fix
try:
    run(["python"])
except SandboxUnavailable as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert "Linux" in done.stdout, done.stderr


def test_it_needs_only_the_standard_library() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import famulus.sandbox
assert famulus.sandbox.level().name
foreign = {{name.split(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names) - {{"famulus", "__main__"}}
print(sorted(foreign))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
