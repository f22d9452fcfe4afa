"""One allocator setting for every contender.

glibc serves blocks of 32 MiB and more by mmap and gives them back at once, so PyTorch page-faults on every fresh large
tensor: relu^2 on 201 MB took 286 ms with glibc's defaults and 56 ms with these (Zen 3, 2026-11). A kernel that writes
into prepared buffers would be praised for that alone. Baseline, rivals and training all run with the same setting.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD_BYTES = 256 << 20


def release_freed_memory() -> None:
    """Gives free pages back to the system once; what follows must warm up again before it is timed."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Makes malloc keep what is freed, for the whole process; False where the C library is not glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, TOP_PAD_BYTES))
    accepted = [mallopt(name, value) for name, value in settings]
    return all(answer == 1 for answer in accepted)
