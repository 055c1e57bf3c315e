"""The system-call filter: a BPF program that both backends load.

Denied are the ways out that neither namespaces nor Landlock close (sockets, io_uring, ptrace, bpf, keyrings,
nested namespaces, handles, per-user kernel resources) and every call newer than the table below, which nobody
here has looked at. Layout: ``struct seccomp_data`` of ``linux/seccomp.h``; numbers: the kernel's own tables.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection, Iterable, Iterator

ALLOW = 0x7FFF0000
KILL = 0x80000000
ERRNO = 0x00050000
_REFUSE, _HIDE, _IGNORE = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS, ERRNO

_LOAD, _JEQ, _JGE, _JSET, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_NEWEST = 469  # file_setattr, Linux 6.17: the last call that was considered here
_X32 = 0x40000000
_NAMESPACES = 0x7E020000  # CLONE_NEWNS | CGROUP | UTS | IPC | USER | PID | NET
_THREAD = 0x00010000  # CLONE_THREAD
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_SEQPACKET, _SOCK_TYPE = 1, 5, 0xF
_TCP, _NETLINK_ROUTE = 6, 0
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FS_SETFLAGS, _FS_SETXATTR = 0x40086602, 0x401C5820  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR
_O_TRUNC, _O_ACCMODE = 0o1000, 0o3

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); None where the architecture has no such call.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "_sysctl": (156, None), "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171),
    "bpf": (321, 280), "chmod": (90, None), "chown": (92, None), "chroot": (161, 51),
    "clock_adjtime": (305, 266), "clock_settime": (227, 112), "clone": (56, 220), "clone3": (435, 435),
    "create_module": (174, None), "delete_module": (176, 106), "execve": (59, 221), "execveat": (322, 281),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "fchown": (93, 55),
    "fchownat": (260, 54), "file_setattr": (469, 469), "finit_module": (313, 273), "fork": (57, None),
    "fremovexattr": (199, 16), "fsconfig": (431, 431), "fsetxattr": (190, 7), "fsmount": (432, 432),
    "fsopen": (430, 430), "fspick": (433, 433), "futimesat": (261, None), "init_module": (175, 105),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "ioctl": (16, 29), "ioperm": (173, None),
    "iopl": (172, None), "kcmp": (312, 272), "kexec_file_load": (320, 294), "kexec_load": (246, 104),
    "keyctl": (250, 219), "kill": (62, 129), "lchown": (94, None), "lookup_dcookie": (212, 18),
    "lremovexattr": (198, 15), "lsetxattr": (189, 6), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "migrate_pages": (256, 238), "modify_ldt": (154, None),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239),
    "mq_open": (240, 180), "msgctl": (71, 187), "msgget": (68, 186), "msgrcv": (70, 188), "msgsnd": (69, 189),
    "name_to_handle_at": (303, 264), "nfsservctl": (180, 42),
    "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122), "open": (2, None), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "openat": (257, 56), "openat2": (437, 437),
    "perf_event_open": (298, 241), "personality": (135, 92), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "pivot_root": (155, 41), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "quotactl": (179, 60), "quotactl_fd": (443, 443), "reboot": (169, 142),
    "removexattr": (197, 14), "removexattrat": (466, 466), "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "semctl": (66, 191), "semget": (64, 190),
    "semop": (65, 193), "semtimedop": (220, 192), "shmat": (30, 196), "shmctl": (31, 195),
    "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268),
    "settimeofday": (164, 170), "setxattr": (188, 5), "setxattrat": (463, 463), "shmget": (29, 194),
    "socket": (41, 198), "socketpair": (53, 199), "swapoff": (168, 225), "swapon": (167, 224),
    "sysfs": (139, None), "syslog": (103, 116), "tgkill": (234, 131), "tkill": (200, 130),
    "truncate": (76, 45), "umount2": (166, 39), "unshare": (272, 97), "uselib": (134, None),
    "userfaultfd": (323, 282), "ustat": (136, None), "utime": (132, None), "utimensat": (280, 88),
    "utimes": (235, None), "vfork": (58, None), "vhangup": (153, 58),
}  # fmt: skip

_REFUSED = str.split(
    """
    socket io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev
    process_madvise process_mrelease pidfd_getfd kcmp bpf userfaultfd perf_event_open keyctl add_key
    request_key mount umount2 pivot_root chroot move_mount open_tree open_tree_attr fsopen fsconfig
    fsmount fspick mount_setattr unshare setns kexec_load kexec_file_load init_module finit_module
    delete_module create_module reboot swapon swapoff sethostname setdomainname settimeofday
    clock_settime adjtimex clock_adjtime acct quotactl quotactl_fd open_by_handle_at
    name_to_handle_at syslog iopl ioperm modify_ldt personality lookup_dcookie move_pages
    migrate_pages fanotify_init inotify_init inotify_init1 vhangup nfsservctl uselib ustat sysfs
    _sysctl shmget msgget semget mq_open
    """
)
# Callers fall back to an older call or to a temporary file when these seem not to exist. clone3 and openat2
# hide their flags behind a pointer that a filter cannot follow; a memfd's memory counts against no limit.
_UNKNOWN = ["clone3", "openat2", "memfd_create", "memfd_secret"]
# Landlock does not see changes of metadata, so without a mount namespace they could hit any file of the user.
# Modes and times are accepted without effect, because shutil.copy and many test suites set them in passing.
_IGNORED = str.split(
    """
    chmod fchmod fchmodat fchmodat2 utime utimes futimesat utimensat
    """
)
_METADATA = str.split(
    """
    chown fchown lchown fchownat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr
    fremovexattr removexattrat file_setattr
    """
)
# Of the same user's other processes, Landlock hides neither limits nor priorities; 0 means the caller itself.
_OTHERS = ["setpriority", "ioprio_set"]
_SELF_ONLY = ["prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr", "sched_setaffinity"]
_SIGNALS = str.split(
    """
    kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal
    """
)
_PROCESSES = str.split(
    """
    fork vfork execve execveat
    """
)
# A copy of a process reaches what its original attached or may attach by number.
_SYSTEM_V = str.split(
    """
    msgctl msgrcv msgsnd semctl semop semtimedop shmat shmctl
    """
)


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)  # struct sock_filter


def _numbers(names: Iterable[str], machine: str) -> Iterator[int]:
    column = list(AUDIT_ARCH).index(machine)
    for name in names:
        number = NUMBERS[name][column]
        if number is not None:
            yield number


def _answer(names: Iterable[str], machine: str, action: int) -> bytes:
    return b"".join(_op(_JEQ, number, 0, 1) + _op(_RETURN, action) for number in _numbers(names, machine))


def _body(name: str, body: bytes, machine: str) -> bytes:
    """``body`` decides on this call, and must return in every case."""
    return b"".join(_op(_JEQ, number, 0, len(body) // 8) + body for number in _numbers([name], machine))


def _when(name: str, argument: int, test: bytes, machine: str, action: int) -> bytes:
    """``action`` if ``test`` on the low 32 bits of an argument jumps by 0 (yes) instead of 1 (no)."""
    load = _op(_LOAD, _ARGUMENTS + 8 * argument)
    return _body(name, load + test + _op(_RETURN, action) + _op(_RETURN, ALLOW), machine)


def _begin(machine: str, *, spared: Collection[str] = ()) -> bytes:
    """Refuse what no confined code may do, but for the calls ``spared``; the number of the call stays loaded."""
    code = _op(_LOAD, _ARCH) + _op(_JEQ, AUDIT_ARCH[machine], 1, 0) + _op(_RETURN, KILL)
    code += _op(_LOAD, _NUMBER)
    if machine == "x86_64":
        code += _op(_JGE, _X32, 0, 1) + _op(_RETURN, KILL)
    code += _op(_JGE, _NEWEST + 1, 0, 1) + _op(_RETURN, _HIDE)
    refused, unknown = ([name for name in names if name not in spared] for names in (_REFUSED, _UNKNOWN))
    return code + _answer(refused, machine, _REFUSE) + _answer(unknown, machine, _HIDE)


def _pairs(machine: str) -> bytes:
    """Socket pairs only in the forms that stay a pair: a datagram socket could send to any named one."""
    return _body(
        "socketpair",
        _op(_LOAD, _ARGUMENTS) + _op(_JEQ, _AF_UNIX, 0, 5)
        + _op(_LOAD, _ARGUMENTS + 8) + _op(_AND, _SOCK_TYPE)
        + _op(_JEQ, _SOCK_STREAM, 1, 0) + _op(_JEQ, _SOCK_SEQPACKET, 0, 1)
        + _op(_RETURN, ALLOW) + _op(_RETURN, _REFUSE),
        machine,
    )  # fmt: skip


def _sockets(machine: str) -> bytes:
    """Unix and TCP sockets, and those that list the network's interfaces, without which ZeroMQ aborts. Other families
    lead deep into the kernel, or out of a network namespace: a virtual machine's socket to its host belongs to none."""
    yes, no, protocol = _op(_RETURN, ALLOW), _op(_RETURN, _REFUSE), _op(_LOAD, _ARGUMENTS + 16)
    tcp = _op(_LOAD, _ARGUMENTS + 8) + _op(_AND, _SOCK_TYPE) + _op(_JEQ, _SOCK_STREAM, 1, 0) + no
    tcp += protocol + _op(_JEQ, 0, 1, 0) + _op(_JEQ, _TCP, 0, 1) + yes + no
    code = _op(_LOAD, _ARGUMENTS) + _op(_JEQ, _AF_UNIX, 0, 1) + yes
    code += _op(_JEQ, _AF_NETLINK, 0, 4) + protocol + _op(_JEQ, _NETLINK_ROUTE, 0, 1) + yes + no
    code += _op(_JEQ, _AF_INET, 2, 0) + _op(_JEQ, _AF_INET6, 1, 0) + no
    return _body("socket", code + tcp, machine)


def _controls(requests: Iterable[int], machine: str) -> bytes:
    """Refuse these requests of ``ioctl``."""
    tests = b"".join(_op(_JEQ, request, 0, 1) + _op(_RETURN, _REFUSE) for request in requests)
    return _body("ioctl", _op(_LOAD, _ARGUMENTS + 8) + tests + _op(_RETURN, ALLOW), machine)


def _bounds(machine: str, landlock: int) -> bytes:
    """What this version of Landlock leaves open of other processes and of truncation."""
    code = _answer(_OTHERS, machine, _REFUSE)
    for name in _SELF_ONLY:
        code += _when(name, 0, _op(_JEQ, 0, 1, 0), machine, _REFUSE)
    if landlock < 3:  # truncation is not mediated: neither by path nor by opening for reading with O_TRUNC
        code += _answer(["truncate"], machine, _REFUSE)
        empties = _op(_AND, _O_TRUNC | _O_ACCMODE) + _op(_JEQ, _O_TRUNC, 0, 1)
        code += _when("open", 1, empties, machine, _REFUSE) + _when("openat", 2, empties, machine, _REFUSE)
    if landlock < 6:  # signals are not kept inside
        code += _answer(_SIGNALS, machine, _REFUSE)
    return code


def program(machine: str, *, landlock: int | None) -> bytes:
    """The filter as an array of ``struct sock_filter``.

    ``machine`` is ``os.uname().machine``; KeyError if it is not in :data:`AUDIT_ARCH`. ``landlock`` is the
    version of Landlock that confines the code, None if it has namespaces of its own, in which only its own
    files and processes can be reached. The older the version, the more is denied here instead.
    """
    code = _begin(machine)
    if landlock is not None:
        code += _answer(_METADATA, machine, _REFUSE) + _answer(_IGNORED, machine, _IGNORE)
        code += _bounds(machine, landlock)
    code += _when("clone", 0, _op(_JSET, _NAMESPACES, 0, 1), machine, _REFUSE)
    code += _pairs(machine) + _controls([_TIOCSTI, _TIOCLINUX], machine)
    return code + _op(_RETURN, ALLOW)


def spectator(machine: str, *, landlock: int) -> bytes:
    """The filter for a copy of a process that may look at everything and change nothing: stricter than
    :func:`program` in that modes and times are refused instead of ignored, and that no process can be started.
    The arguments are those of :func:`program`."""
    code = _begin(machine) + _answer([*_METADATA, *_IGNORED, *_PROCESSES, *_SYSTEM_V], machine, _REFUSE)
    code += _bounds(machine, landlock)
    code += _when("clone", 0, _op(_JSET, _THREAD, 1, 0), machine, _REFUSE)
    code += _pairs(machine) + _controls([_TIOCSTI, _TIOCLINUX, _FS_SETFLAGS, _FS_SETXATTR], machine)
    return code + _op(_RETURN, ALLOW)


def resident(machine: str) -> bytes:
    """The filter for a program that lives long in namespaces of its own, the network's among them: like
    :func:`program` without Landlock, but Unix and TCP sockets, which lead nowhere from there, pairs of any kind and
    anonymous files are left to it. KeyError for a machine that is not in :data:`AUDIT_ARCH`."""
    code = _begin(machine, spared=("socket", "memfd_create"))
    code += _when("clone", 0, _op(_JSET, _NAMESPACES, 0, 1), machine, _REFUSE)
    code += _sockets(machine) + _controls([_TIOCSTI, _TIOCLINUX], machine)
    return code + _op(_RETURN, ALLOW)
