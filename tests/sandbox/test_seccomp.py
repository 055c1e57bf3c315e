"""The filter says what it should on both architectures; checked by running its BPF on this machine."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from famulus.sandbox import seccomp

MACHINES = list(seccomp.AUDIT_ARCH)
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}
DENIED = seccomp.ERRNO | errno.EPERM
UNKNOWN = seccomp.ERRNO | errno.ENOSYS


def answer(program: bytes, number: int, arch: int, *arguments: int) -> int:
    """Run classic BPF over one `struct seccomp_data`."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=iIQ6Q", number if number < 2**31 else number - 2**32, arch, 0, *padded)
    code = list(struct.iter_unpack("=HBBI", program))
    position = accumulator = 0
    while True:
        operation, yes, no, value = code[position]
        position += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        else:
            hit = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            position += yes if hit[operation] else no


def ask(machine: str, name: str, *arguments: int, landlock: int | None = None) -> int:
    number = seccomp.NUMBERS[name][MACHINES.index(machine)]
    assert number is not None
    program = seccomp.program(machine, landlock=landlock)
    return answer(program, number, seccomp.AUDIT_ARCH[machine], *arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_answers(machine: str) -> None:
    arch = seccomp.AUDIT_ARCH[machine]
    program = seccomp.program(machine, landlock=7)
    read, write = {"x86_64": (0, 1), "aarch64": (63, 64)}[machine]
    assert answer(program, read, arch) == answer(program, write, arch) == seccomp.ALLOW
    assert answer(program, 470, arch) == answer(program, 2**30 - 1, arch) == UNKNOWN
    for other in set(seccomp.AUDIT_ARCH.values()) - {arch} | {0x40000003}:  # i386
        assert answer(program, read, other) == seccomp.KILL
    for name in ("socket", "ptrace", "io_uring_setup", "bpf", "keyctl", "mount", "unshare", "userfaultfd"):
        assert ask(machine, name) == DENIED
    assert ask(machine, "clone3") == UNKNOWN


def test_x32_is_killed() -> None:
    program = seccomp.program("x86_64", landlock=None)
    assert answer(program, 0x40000000, seccomp.AUDIT_ARCH["x86_64"]) == seccomp.KILL
    assert answer(program, 0xFFFFFFFF, seccomp.AUDIT_ARCH["x86_64"]) == seccomp.KILL


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("landlock", [None, 1, 3, 6, 7])
def test_arguments_decide(machine: str, landlock: int | None) -> None:
    def said(name: str, *arguments: int) -> int:
        return ask(machine, name, *arguments, landlock=landlock)

    assert said("clone", 0x01200011) == seccomp.ALLOW  # fork
    assert said("clone", 0x003D0F00) == seccomp.ALLOW  # pthread_create
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert said("clone", flag | 17) == DENIED
    stream, datagram, raw, packets, close_on_exec = 1, 2, 3, 5, 0o2000000
    for form in (stream, packets):
        assert said("socketpair", 1, form | close_on_exec) == seccomp.ALLOW
        assert said("socketpair", 2, form) == DENIED
    for form in (datagram, raw, datagram | close_on_exec):  # could be sent to any named socket of the machine
        assert said("socketpair", 1, form) == DENIED
    assert said("ioctl", 0, 0x5401) == seccomp.ALLOW
    assert said("ioctl", 0, 0x5412) == said("ioctl", 0, 0xFFFFFFFF00005412) == DENIED
    alone = landlock is not None
    assert said("prlimit64", 0) == seccomp.ALLOW
    assert said("prlimit64", 99) == (DENIED if alone else seccomp.ALLOW)
    assert said("kill", 99) == (DENIED if alone and landlock < 6 else seccomp.ALLOW)  # type: ignore[operator]
    old = alone and landlock < 3  # type: ignore[operator]
    assert said("truncate") == (DENIED if old else seccomp.ALLOW)
    assert said("openat", 0, 0, 0o1000) == (DENIED if old else seccomp.ALLOW)
    assert said("openat", 0, 0, 0o1001) == seccomp.ALLOW  # O_WRONLY | O_TRUNC: Landlock decides
    assert said("fchmodat") == (seccomp.ERRNO if alone else seccomp.ALLOW)
    assert said("fchownat") == (DENIED if alone else seccomp.ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("landlock", [1, 3, 6, 7])
def test_a_spectator_starts_nothing_and_changes_no_metadata(machine: str, landlock: int) -> None:
    program = seccomp.spectator(machine, landlock=landlock)

    def said(name: str, *arguments: int) -> int:
        number = seccomp.NUMBERS[name][MACHINES.index(machine)]
        assert number is not None
        return answer(program, number, seccomp.AUDIT_ARCH[machine], *arguments)

    for name in ("execve", "execveat", "fchmodat", "fchmod", "fchown", "utimensat", "setxattr", "shmat", "socket"):
        assert said(name) == DENIED
    assert said("clone", 0x01200011) == DENIED  # fork
    assert said("clone", 0x003D0F00) == seccomp.ALLOW  # pthread_create
    assert said("clone3") == UNKNOWN  # the C library then falls back to clone
    assert said("socketpair", 1, 1) == seccomp.ALLOW
    assert said("socketpair", 1, 2) == DENIED
    assert said("ioctl", 0, 0x5401) == seccomp.ALLOW
    assert said("ioctl", 0, 0x5412) == said("ioctl", 0, 0x40086602) == DENIED  # type for the user, mark a file


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_the_kernels(machine: str) -> None:
    found = next((path for path in HEADERS[machine] if Path(path).exists()), None)
    if found is None:
        pytest.skip("no kernel headers (linux-libc-dev)")
    text = Path(found).read_text()
    kernel = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    column = MACHINES.index(machine)
    for name, both in seccomp.NUMBERS.items():
        newer_than_headers = name not in kernel and (both[column] or 0) > 450
        if not newer_than_headers:
            assert both[column] == kernel.get(name), name
