"""A candidate that makes any system call it is told to, and what became of each attempt to get out.

    python -m tests.sandbox.attempts FOLDER UID     as that user, with its state in FOLDER; prints JSON

Modules are imported before the user changes: an ordinary user may not be able to read where Python is installed.
"""

import json
import os
import struct
import sys
from pathlib import Path

from kernelsearch.build import cpp
from kernelsearch.sandbox.session import INPUT, NUMBER, OUTPUT, Argument, Call, Session, native_command
from kernelsearch.spec import Axis, Entry, Target, TensorSpec, read_candidate
from kernelsearch.verify.run import CandidateFailure

NUMBERS = ("CALL", "A", "B", "C", "D", "TIMES")
TARGET = Target(
    "attempt",
    "makes system calls",
    (
        Entry(
            "attempt",
            tuple(Axis(name) for name in NUMBERS),
            (TensorSpec("x", ("A",)),),
            (TensorSpec("y", ("A",)),),
            lambda sizes, parameters: 0.0,
        ),
    ),
    {"float32": 2.0**-24},
)
BYTES, TEXT, PATH = 1 << 16, 64, b"/etc/passwd\0"

# A negative argument is an address: that many bytes into the outputs. Call -1 runs something else, chosen by A. The
# paths are tried while the object is loaded, when the system-call filter still lets the loader open files.
SOURCE = """
#include <cstdlib>
#include <cstring>
static long raw(long n, long a, long b, long c, long d) {
    long r; register long r10 asm("r10") = d; register long r8 asm("r8") = 0;
    asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return r;
}
static const char* const PATHS[] = {"/etc/passwd", "/proc/1/mem", "/1/mem", "/proc/JUDGE/mem", "/JUDGE/mem",
    "/proc/JUDGE/fd/1", "/proc/JUDGE/environ", "/proc/self/mem", "/self/mem", "/self/environ", "/self/root/etc/passwd",
    "/dev/shm", "/tmp", ".", "..", "FOLDER"};
static int opened, linked;
__attribute__((constructor)) static void early() {
    char text[256];
    for (const char* path : PATHS) {
        opened += raw(257, -100, (long)path, 0, 0) >= 0;
        linked += raw(267, -100, (long)path, (long)text, 256) >= 0;
    }
}
static int deep(volatile int* n) { volatile int m[999]; m[0] = *n; return deep(m) + m[0]; }
static long other(long what) {
    volatile int zero = 0;
    if (what == 0) return opened;
    if (what == 1) return linked;
    if (what == 2) return deep(&zero);
    if (what == 3) std::abort();
    if (what == 4) *(volatile int*)nullptr = 1;
    if (what == 5) for (;;) { void* p = std::malloc(1 << 26); if (!p) std::abort(); std::memset(p, 1, 1 << 26); }
    if (what == 6) for (;;) zero = zero + 1;
    if (what == 7) { unsigned low; asm volatile("rdtsc" : "=a"(low) : : "rdx"); return low; }
    if (what == 8) { long sum = 0;
        #pragma omp parallel num_threads(4000)
        #pragma omp atomic
        sum++;
        return sum; }
    return 0;
}
void attempt_forward(const float*, float* y, int64_t call, int64_t a, int64_t b, int64_t c, int64_t d, int64_t times) {
    const auto argument = [&](int64_t value) { return value < 0 ? (long)y - value : value; };
    long result = 0;
    for (int64_t i = 0; i < times; i++)
        result = call < 0 ? other(a) : raw(call, argument(a), argument(b), argument(c), argument(d));
    *(long*)y = result;
}
"""

ADDRESS = -TEXT
# name: (x86-64 number, arguments). Each must end the process.
KILLED = {
    "fork": (57, ()),
    "vfork": (58, ()),
    "clone of a process": (56, (17,)),
    "execve": (59, (ADDRESS,)),
    "open": (2, (ADDRESS,)),
    "creat": (85, (ADDRESS, 0o600)),
    "unlink": (87, (ADDRESS,)),
    "socket": (41, (2, 1)),
    "socketpair": (53, (1, 1, 0, ADDRESS)),
    "connect": (42, (0, ADDRESS, 16)),
    "ptrace the first process": (101, (16, 1)),
    "process_vm_readv": (310, (1, ADDRESS, 1, ADDRESS)),
    "process_vm_writev": (311, (1, ADDRESS, 1, ADDRESS)),
    "kill everything": (62, (0, 9)),
    "tkill the first process": (200, (1, 9)),
    "tgkill another": (234, (1, 1, 9)),
    "pidfd_open": (434, (1,)),
    "pidfd_getfd": (438, (3, 0)),
    "ftruncate": (77, (3, 0)),
    "fcntl": (72, (3, 1033, 0)),
    "dup": (32, (0,)),
    "setuid": (105, (0,)),
    "setsid": (112, ()),
    "setpgid": (109, (0, 0)),
    "chroot": (161, (ADDRESS,)),
    "mount": (165, (ADDRESS, ADDRESS, ADDRESS)),
    "unshare": (272, (0x10000000,)),
    "setns": (308, (3,)),
    "prctl": (157, (4, 1)),
    "seccomp": (317, (0,)),
    "sched_setaffinity": (203, (0, 8, ADDRESS)),
    "sched_setscheduler": (144, (0, 1, ADDRESS)),
    "setpriority": (141, (0, 0)),
    "clock_gettime": (228, (1, ADDRESS)),
    "nanosleep": (35, (ADDRESS,)),
    "shmget": (29, (1, 4096, 0o1600)),
    "memfd_create": (319, (ADDRESS,)),
    "bpf": (321, (0,)),
    "io_uring_setup": (425, (4, ADDRESS)),
    "perf_event_open": (298, (ADDRESS,)),
    "userfaultfd": (323, (0,)),
    "keyctl": (250, (0,)),
    "another process's limits": (302, (1, 7)),
    "an x32 call": (0x40000000 + 39, ()),
}
OTHER = {"opened": 0, "linked": 1, "recursion": 2, "abort": 3, "fault": 4, "memory": 5, "clock": 7, "threads": 8}


def build_artifact(cache: Path) -> bytes:
    source = SOURCE.replace("JUDGE", str(os.getpid())).replace("FOLDER", str(cache))
    return cpp.build(TARGET, read_candidate("attempt", "cpp", source, "test"), "float32", cache).path.read_bytes()


def start(cache: Path, artifact: bytes, threads: int = 1) -> Session:
    return Session(native_command(cache), artifact, ["ks_call_attempt_forward"], region_bytes=BYTES, threads=threads)


def load(session: Session, call: int, arguments: tuple[int, ...] = (), times: int = 1, text: bytes = PATH) -> None:
    numbers = (call, *arguments, *(0,) * (4 - len(arguments)), times)
    words = [struct.unpack("<Q", struct.pack("<q", number))[0] for number in numbers]
    session.outputs[TEXT : TEXT + len(text)] = text
    session.load([Call(0, (Argument(INPUT, 0), Argument(OUTPUT, 0), *(Argument(NUMBER, w) for w in words)))], 5.0)


def attempt(session: Session, call: int, arguments: tuple[int, ...] = (), times: int = 1, text: bytes = PATH) -> str:
    """The call's result, or the verdict it ended in."""
    try:
        load(session, call, arguments, times, text)
        session.go(10.0)
    except CandidateFailure as failure:
        return f"{failure.status}: {failure.detail}"
    return str(struct.unpack("<q", session.outputs[:8])[0])


def outcomes(cache: Path) -> dict[str, str]:
    artifact = build_artifact(cache)
    found = {}
    for name, (call, arguments) in KILLED.items():
        with start(cache, artifact) as session:
            found[name] = attempt(session, call, arguments)
    for name, what in OTHER.items():
        with start(cache, artifact) as session:
            found[name] = attempt(session, -1, (what,))
    with start(cache, artifact) as session:
        found["openat"] = attempt(session, 257, (0, ADDRESS))
        found["getpid"] = attempt(session, 39)
        found["stderr flood"] = attempt(session, 1, (2, ADDRESS, 32768), times=2000)
        found["protections"] = str(session.protections)
    return found


if __name__ == "__main__":
    folder, user = Path(sys.argv[1]), int(sys.argv[2])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    print(json.dumps(outcomes(folder)))
