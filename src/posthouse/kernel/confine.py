"""Confines a process for good: which files it may reach, and which system calls it may make.

What a child of the sandbox can reach is what an exploited decoder can reach: with Landlock its
folders and the programs' own files, with seccomp no network, no other process and no new program.
Both hold for all threads that the process starts later, and nothing takes them back. Where the
kernel lacks one, the other still holds; `measures` says which there are.

Sources: landlock(7), seccomp(2), bpf(2) as `linux/filter.h` has it, capset(2).
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_ABI_REFER, _ABI_TRUNCATE, _ABI_NET, _ABI_IOCTL, _ABI_SCOPE = 2, 3, 4, 5, 6
_EXECUTE, _WRITE, _READ, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_OF_ABI_1 = (1 << 13) - 1
_NET_BIND, _NET_CONNECT = 1, 1 << 1
_SCOPE_SOCKETS, _SCOPE_SIGNALS = 1, 1 << 1
_RULE_PATH = 1
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_FILTER = 38, 22, 2
_PR_GET_SECCOMP = 21
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

# What every program of ours may read: libraries, fonts, time zones, and what the machine has.
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/self", "/sys/devices/system/cpu", "/sys/fs/cgroup",
    "/dev/null", "/dev/zero", "/dev/urandom",
)  # fmt: skip

# Refused with EPERM: [x86-64, AArch64] numbers; None where the architecture has no such call.
_REFUSED: Mapping[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kill": (62, 129), "tkill": (200, 130), "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_by_handle_at": (304, 265),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "chmod": (90, None), "fchmodat": (268, 53),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "setrlimit": (160, 164),
}  # fmt: skip
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_TGKILL = (234, 131)
_CAPABILITY_VERSION_3 = 0x20080522


class ConfinementError(OSError):
    """The kernel has a measure but did not take it; the process must not go on."""


def confine(read: Sequence[str], write: Sequence[str]) -> None:
    """Let this process read below `read` and the system's libraries, write below `write` only.

    It must not have started a thread yet. Cannot be undone.

    Raises:
        ConfinementError: a measure that the kernel has could not be taken.
    """
    if sys.platform != "linux":
        return
    _drop_capabilities()
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    abi = _landlock_abi()
    if abi:
        _restrict_files(abi, [*_SYSTEM, *_python(), *read], write)
    if _has_seccomp():
        _restrict_calls()


@cache
def measures() -> tuple[str, ...]:
    """What confinement there is on this machine, such as `("limits", "landlock-7", "seccomp")`."""
    found = ["limits"]
    if sys.platform == "linux":
        abi = _landlock_abi()
        found += [f"landlock-{abi}"] if abi else []
        found += ["seccomp"] if _has_seccomp() else []
    return tuple(found)


def _python() -> list[str]:
    """Where modules that are not imported yet may lie."""
    return [sys.prefix, sys.base_prefix, *(path for path in sys.path if Path(path).is_absolute())]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    """Call the C library.

    Raises:
        ConfinementError: it gave -1.
    """
    result: int = getattr(_libc(), name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise ConfinementError(number, f"{name}: {os.strerror(number)}")
    return result


def _landlock_abi() -> int:
    """The kernel's version of Landlock; 0 without it."""
    found: int = _libc().syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(found, 0)


def _has_seccomp() -> bool:
    if platform.machine() not in _ARCHITECTURES:
        return False
    return int(_libc().prctl(_PR_GET_SECCOMP, 0, 0, 0, 0)) >= 0


def _restrict_files(abi: int, read: Sequence[str], write: Sequence[str]) -> None:
    handled = _OF_ABI_1
    handled |= _REFER if abi >= _ABI_REFER else 0
    handled |= _TRUNCATE if abi >= _ABI_TRUNCATE else 0
    handled |= _IOCTL if abi >= _ABI_IOCTL else 0
    attributes = struct.pack("=Q", handled)
    if abi >= _ABI_NET:
        attributes += struct.pack("=Q", _NET_BIND | _NET_CONNECT)
    if abi >= _ABI_SCOPE:
        attributes += struct.pack("=Q", _SCOPE_SOCKETS | _SCOPE_SIGNALS)
    size = ctypes.c_size_t(len(attributes))
    ruleset = _call("syscall", _LANDLOCK_CREATE, attributes, size, ctypes.c_uint32(0))
    may_read = _READ | _READ_DIR
    may_write = (
        may_read | _WRITE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
    )
    for path in dict.fromkeys(read):
        _allow(ruleset, path, may_read & handled)
    for path in (*write, "/dev/null"):
        _allow(ruleset, path, may_write & handled)
    _call("syscall", _LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no right
    try:
        rights = rights if Path(path).is_dir() else rights & _OF_FILES
        rule = struct.pack("=Qi", rights, opened)
        _call("syscall", _LANDLOCK_ADD, ruleset, _RULE_PATH, rule, ctypes.c_uint32(0))
    finally:
        os.close(opened)


def _restrict_calls() -> None:
    filtered = _filter(platform.machine())
    program = b"".join(filtered)
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a short, padding, a pointer.
    head = struct.pack("@HP", len(filtered), ctypes.addressof(buffer))
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_FILTER, head, 0, 0)


def _filter(machine: str) -> list[bytes]:
    """The BPF program: load the call's number, compare, refuse, else allow.

    In `seccomp_data` the number is at offset 0, the architecture at 4, the arguments from 16 on.
    """
    column, architecture = _ARCHITECTURES[machine]
    refuse = [_op(_RET, _ERRNO | errno.EPERM)]
    lines = [_op(_LD, 4), _op(_JEQ, architecture, 1, 0), *refuse]
    lines += [_op(_LD, 0), _op(_JGE, _X32, 0, 1), *refuse]
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            lines += [_op(_JEQ, number, 0, 1), *refuse]
    # glibc falls back to clone, whose flags can be looked at.
    lines += [_op(_JEQ, _CLONE3[column], 0, 1), _op(_RET, _ERRNO | errno.ENOSYS)]
    # Threads may be started, processes may not.
    lines += [_op(_JEQ, _CLONE[column], 0, 4), _op(_LD, 16), _op(_JSET, _CLONE_THREAD, 1, 0)]
    lines += [*refuse, _op(_RET, _ALLOW)]
    # abort(3) signals itself; nobody else is signalled.
    lines += [_op(_JEQ, _TGKILL[column], 0, 4), _op(_LD, 16), _op(_JEQ, os.getpid(), 1, 0)]
    lines += [*refuse, _op(_RET, _ALLOW)]
    # Limits may be read, not set: the new one (the third argument) must be NULL.
    lines += [_op(_JEQ, _PRLIMIT[column], 0, 5)]
    lines += [_op(_LD, 32), _op(_JEQ, 0, 0, 2), _op(_LD, 36), _op(_JEQ, 0, 1, 0), *refuse]
    return [*lines, _op(_RET, _ALLOW)]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction, `struct sock_filter`."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _drop_capabilities() -> None:
    """Give up what root may do beyond owning files; nothing for other users."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _call("capset", header, bytes(24))
