"""The escape corpus: runs inside the sandbox, one function per attempt, each in a child of its own.

Targets come as JSON on standard input; a JSON object {attempt: "denied" | "escaped" | "odd: ..."} goes out. An
attempt escapes if it returns something true; an OSError is a denial. What happens outside is judged there.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

T: dict[str, Any] = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
ATTEMPTS: dict[str, Callable[[], object]] = {}


def attempt(group: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
    def register(function: Callable[[], object]) -> Callable[[], object]:
        ATTEMPTS[f"{group}:{function.__name__}"] = function
        return function

    return register


def call(name: str, *arguments: object) -> bool:
    """Whether a system call got through. Where a processor has no such call, nothing can."""
    number = T["numbers"][name]
    return number is not None and libc.syscall(ctypes.c_long(number), *arguments) >= 0


def reaches(name: str, *arguments: object) -> bool:
    """Whether a call is even looked at. With arguments that mean nothing, so that it harms nobody if it is."""
    return call(name, *arguments) or ctypes.get_errno() not in (errno.EPERM, errno.EACCES, errno.ENOSYS)


def opens(path: str) -> bool:
    """Whether a file could be written; nothing is, because it steers the whole machine."""
    os.close(os.open(path, os.O_WRONLY))
    return True


def slurp(path: str) -> bool:
    with open(path, "rb") as file:
        return bool(file.read(64))


def spill(path: str, mode: str = "wb") -> bool:
    with open(path, mode) as file:
        file.write(b"gone")
    return True


for name, path in {
    "secret": T["secret"],
    "secret_through_proc_self_root": "/proc/self/root" + T["secret"],
    "secret_through_dots": T["project"] + "/../" + os.path.relpath(T["secret"], T["project"] + "/.."),
    "secret_through_link_in_project": T["project"] + "/link",
    "home": T["home"] + "/.ssh/id_ed25519",
    "shadow": "/etc/shadow",
    "environ_of_caller": f"/proc/{T['caller']}/environ",
    "environ_of_victim": f"/proc/{T['victim']}/environ",
    "memory_of_victim": f"/proc/{T['victim']}/mem",
    "root_of_victim": f"/proc/{T['victim']}/root{T['secret']}",
    "folder_of_victim": f"/proc/{T['victim']}/cwd/secret",
    "kernel_memory": "/dev/mem",
    "kernel_log": "/dev/kmsg",
    "kernel_symbols": "/proc/kcore",
    "disk": "/dev/vda",
    "ssh_config_of_machine": "/etc/ssh/sshd_config",
}.items():
    ATTEMPTS[f"read:{name}"] = lambda path=path: slurp(path)  # type: ignore[misc]

for name, path in {
    "secret": T["secret"],
    "project_file": T["project"] + "/code.py",
    "new_project_file": T["project"] + "/conftest.py",
    "git_hook": T["project"] + "/.git/hooks/pre-commit",
    "git_config": T["project"] + "/.git/config",
    "home": T["home"] + "/.bashrc",
    "tmp_of_machine": os.path.join(T["folder"], "planted"),
    "var_tmp": "/var/tmp/famulus-planted",
}.items():
    ATTEMPTS[f"write:{name}"] = lambda path=path: spill(path, "r+b" if os.path.exists(path) else "wb")  # type: ignore[misc]
for name, path in {
    "core_pattern": "/proc/sys/kernel/core_pattern",
    "host_name": "/proc/sys/kernel/hostname",
    "overcommit": "/proc/sys/vm/overcommit_memory",
    "sysrq": "/proc/sysrq-trigger",
    "interrupts": "/proc/irq/default_smp_affinity",
    "memory_of_victim": f"/proc/{T['victim']}/mem",
    "cgroup": "/sys/fs/cgroup/cgroup.procs",
    "disk": "/dev/vda",
    "kernel_memory": "/dev/mem",
    "interpreter": os.__file__,
}.items():
    ATTEMPTS[f"write:{name}"] = lambda path=path: opens(path)  # type: ignore[misc]


@attempt("write")
def empties_by_reading() -> object:
    os.close(os.open(T["secret"], os.O_RDONLY | os.O_TRUNC))
    return True


@attempt("write")
def truncates() -> object:
    os.truncate(T["secret"], 0)
    return True


@attempt("write")
def removes() -> object:
    os.unlink(T["project"] + "/code.py")
    return True


@attempt("write")
def renames() -> object:
    os.rename(T["project"] + "/code.py", T["project"] + "/other.py")
    return True


@attempt("write")
def renames_the_parent() -> object:
    os.rename(T["project"], T["project"] + "-gone")
    return True


@attempt("write")
def makes_a_folder() -> object:
    os.mkdir(T["project"] + "/.vscode")
    return True


@attempt("write")
def links_hard() -> object:
    os.link(T["secret"], os.environ["TMPDIR"] + "/hard")
    return True


@attempt("write")
def links_a_project_file_hard() -> object:
    os.link(T["project"] + "/code.py", os.environ["TMPDIR"] + "/hard")
    return True


@attempt("write")
def follows_own_link() -> object:
    os.symlink(T["secret"], os.environ["TMPDIR"] + "/soft")
    return spill(os.environ["TMPDIR"] + "/soft", "r+b")


@attempt("write")
def other_case() -> object:
    return spill(T["project"] + "/.GIT/config")


@attempt("write")
def makes_a_device() -> object:
    os.mknod(os.environ["TMPDIR"] + "/disk", 0o60600, os.makedev(254, 0))
    return True


# Whether these reached their target is judged outside: a sandbox may also let them run into nothing.
@attempt("metadata")
def mode() -> object:
    os.chmod(T["secret"], 0o000)
    return False


@attempt("metadata")
def mode_of_project_file() -> object:
    os.fchmod(os.open(T["project"] + "/code.py", os.O_RDONLY), 0o777)
    return False


@attempt("metadata")
def owner() -> object:
    os.chown(T["project"] + "/code.py", os.getuid(), os.getgid())
    return True


@attempt("metadata")
def times() -> object:
    os.utime(T["secret"], (1, 1))
    os.utime(T["project"] + "/code.py", (1, 1))
    return False


@attempt("metadata")
def attributes() -> object:
    os.setxattr(T["project"] + "/code.py", "user.planted", b"1")
    return True


def connects(family: int, kind: int, address: object) -> bool:
    with socket.socket(family, kind) as client:
        client.settimeout(1)
        client.connect(address)  # type: ignore[arg-type]
        client.send(b"hello")
    return True


for name, family, kind, address in [
    ("tcp4", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", T["tcp"])),
    ("udp4", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", T["udp"])),
    ("udp4_outside", socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)),
    ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", T["tcp"])),
    ("udp6", socket.AF_INET6, socket.SOCK_DGRAM, ("::1", T["udp"])),
    ("unix_path", socket.AF_UNIX, socket.SOCK_STREAM, T["unix"]),
    ("unix_path_in_project", socket.AF_UNIX, socket.SOCK_STREAM, T["project_unix"]),
    ("unix_abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + T["abstract"]),
]:
    ATTEMPTS[f"network:{name}"] = lambda family=family, kind=kind, address=address: connects(  # type: ignore[misc]
        family, kind, address
    )
for name, family, kind in [
    ("raw", socket.AF_INET, socket.SOCK_RAW),
    ("packet", 17, socket.SOCK_RAW),
    ("netlink", 16, socket.SOCK_RAW),
    ("vsock", 40, socket.SOCK_STREAM),
    ("kernel_crypto", 38, 5),
    ("bluetooth", 31, socket.SOCK_STREAM),
]:
    ATTEMPTS[f"network:{name}"] = lambda family=family, kind=kind: socket.socket(family, kind)  # type: ignore[misc]


@attempt("network")
def socketpair_inet() -> object:
    return call("socketpair", 2, 1, 0, ctypes.create_string_buffer(8))


@attempt("network")
def listens() -> object:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
    return True


@attempt("process")
def traces_victim() -> object:
    return call("ptrace", 16, T["victim"], 0, 0)


@attempt("process")
def asks_to_be_traced() -> object:
    return call("ptrace", 0, 0, 0, 0)


@attempt("process")
def reads_memory() -> object:
    return call("process_vm_readv", T["victim"], 0, 0, 0, 0, 0)


@attempt("process")
def signals() -> object:  # the victim's death is seen outside
    os.kill(T["victim"], 15)
    return os.getpid() > 100  # a small number may be one of the sandbox's own processes


@attempt("process")
def signals_the_caller() -> object:
    os.kill(T["caller"], 0)
    return os.getpid() > 100


@attempt("process")
def signals_by_descriptor() -> object:
    import signal

    signal.pidfd_send_signal(os.pidfd_open(T["victim"]), 15)
    return os.getpid() > 100


@attempt("process")
def changes_limits() -> object:
    import resource

    resource.prlimit(T["victim"], resource.RLIMIT_NOFILE, (7, 7))
    return True


@attempt("process")
def changes_priority() -> object:
    os.setpriority(os.PRIO_PROCESS, T["victim"], 19)
    return True


@attempt("process")
def changes_processor() -> object:
    os.sched_setaffinity(T["victim"], {0})
    return True


@attempt("process")
def steals_a_descriptor() -> object:
    return call("pidfd_getfd", os.pidfd_open(os.getpid()), 0, 0)


@attempt("process")
def types_into_terminal() -> object:
    import fcntl

    for fd in (0, 1, 2):
        try:
            fcntl.ioctl(fd, 0x5412, b"x")
        except OSError as error:
            if error.errno != 1:  # only EPERM says that the filter stood in the way, not the lack of a terminal
                return True
        else:
            return True
    return False


@attempt("process")
def opens_terminal() -> object:
    return os.open("/dev/tty", os.O_RDWR)


@attempt("process")
def hides_from_memory_shortage() -> object:
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-1000")
    return True


@attempt("process")
def becomes_root() -> object:
    os.setuid(0)
    return True


def status() -> dict[str, str]:
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


@attempt("process")
def gains_by_set_user_id_programs() -> object:
    return status()["NoNewPrivs"] != "1"


@attempt("process")
def keeps_capabilities_over_files() -> object:
    return int(status()["CapEff"], 16) & ~T["harmless"]


MEANINGLESS: dict[str, tuple[object, ...]] = {
    "io_uring_setup": (0, 0),
    "bpf": (999, 0, 0),
    "userfaultfd": (0x7FFF0000,),
    "perf_event_open": (0, 0, -1, -1, 0),
    "keyctl": (0, -4, 0),
    "add_key": (0, 0, 0, 0, -3),
    "request_key": (0, 0, 0, -3),
    "mount": (0, b"/nowhere", 0, 0, 0),
    "umount2": (b"/nowhere", 0),
    "chroot": (b"/nowhere",),
    "pivot_root": (b"/nowhere", b"/nowhere"),
    "fsopen": (0, 0),
    "open_tree": (-1, b"nowhere", 0),
    "move_mount": (-1, b"nowhere", -1, b"nowhere", 0),
    "mount_setattr": (-1, b"nowhere", 0, 0, 0),
    "setns": (-1, 0),
    "personality": (0xFFFFFFFF,),
    "init_module": (0, 0, 0),
    "finit_module": (-1, 0, 0),
    "kexec_load": (0, 0, 0, 0xFFFF0000),
    "swapon": (b"/nowhere", 0),
    "sethostname": (0, -1),
    "settimeofday": (1, 0),
    "clock_settime": (-1, 0),
    "acct": (b"/nowhere",),
    "quotactl": (-1, 0, 0, 0),
    "name_to_handle_at": (-1, b"nowhere", 0, 0, 0),
    "open_by_handle_at": (-1, 0, 0),
    "syslog": (3, 0, 0),
    "iopl": (99,),
    "ioperm": (-1, 1, 1),
    "modify_ldt": (99, 0, 0),
    "fanotify_init": (-1, 0),
    "inotify_init1": (0,),
    "memfd_create": (0, 0),
    "memfd_secret": (-1,),
    "shmget": (0, 0, 0),
    "msgget": (1, 0),
    "semget": (1, -1, 0),
    "mq_open": (0, 0, 0, 0),
    "move_pages": (0, 0, 0, 0, 0, -1),
    "process_vm_writev": (-1, 0, 0, 0, 0, 0),
    "kcmp": (-1, -1, 0, 0, 0),
    "process_madvise": (-1, 0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
}
for name, arguments in MEANINGLESS.items():
    ATTEMPTS[f"kernel:{name}"] = lambda name=name, arguments=arguments: reaches(  # type: ignore[misc]
        name, *arguments
    )
for name, flag in {
    "user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000,
}.items():  # fmt: skip
    ATTEMPTS[f"kernel:unshare_{name}"] = lambda flag=flag: call("unshare", flag)  # type: ignore[misc]


@attempt("kernel")
def clones_into_namespace() -> object:
    child = libc.syscall(ctypes.c_long(T["numbers"]["clone"]), ctypes.c_long(0x10000000 | 17), 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return child > 0


@attempt("kernel")
def clones_by_structure() -> object:
    arguments = ctypes.create_string_buffer((0x10000000).to_bytes(8, "little"), 88)
    child = libc.syscall(ctypes.c_long(435), arguments, ctypes.c_long(88))
    if child == 0:
        os._exit(0)
    return child > 0


@attempt("kernel")
def calls_what_nobody_knows_yet() -> object:
    libc.syscall(ctypes.c_long(500))
    return ctypes.get_errno() != 38


@attempt("kernel")
def calls_by_the_other_numbering() -> object:  # x32 on x86_64: the whole process is killed
    libc.syscall(ctypes.c_long(0x40000000 + 39))
    return os.uname().machine == "x86_64"


@attempt("inherited")
def descriptors() -> object:
    found = []
    for fd in range(3, 1024):
        try:
            os.fstat(fd)
        except OSError:
            continue
        found.append(os.readlink(f"/proc/self/fd/{fd}"))
    # Two are the pipe on which this attempt answers and nothing else.
    return [name for name in found if not name.startswith(f"pipe:[{T['answer']}")]


@attempt("inherited")
def environment() -> object:
    return [name for name, value in os.environ.items() if "planted-secret" in value]


@attempt("inherited")
def home_folder() -> object:
    return os.environ["HOME"] == T["home"]


@attempt("inherited")
def session() -> object:
    return os.getsid(0) == T["session"]


def one(function: Callable[[], object]) -> str:
    """Run an attempt in a child, so that one that is killed harms no other."""
    reading, writing = os.pipe()
    T["answer"] = os.fstat(writing).st_ino
    child = os.fork()
    if child == 0:
        try:
            answer = "escaped" if function() else "denied"
        except OSError:
            answer = "denied"
        except BaseException as error:
            answer = f"odd: {error!r}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    answer = os.read(reading, 1000).decode()
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return answer or ("denied" if os.WIFSIGNALED(status) else "odd: no answer")


if __name__ == "__main__":
    print(json.dumps({name: one(function) for name, function in ATTEMPTS.items()}))
