"""Loads a compiled kernel into this process, for training. Only what the judge accepted may get this far.

The trap is a second OpenMP runtime: kernels are linked without one, so that their symbols resolve to the runtime torch
already uses. It must be loaded, with its symbols visible to all, before the first kernel is.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from kernelsearch.build.abi import Function
from kernelsearch.build.openmp import openmp_library

ARGUMENT_TYPES: dict[str, Any] = {"int64_t": ctypes.c_int64, "float": ctypes.c_float}


@cache
def load_library(path: Path) -> ctypes.CDLL:
    """The shared object at `path`, loaded once for the process; it is never unloaded."""
    ctypes.CDLL(openmp_library(), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))


def load_function(path: Path, function: Function) -> Callable[..., None]:
    """The C function, called with addresses and numbers in declared order; the interpreter lock is released."""
    loaded = load_library(path)[function.symbol]
    loaded.restype = None
    loaded.argtypes = [ctypes.c_void_p if a.tensor else ARGUMENT_TYPES[a.ctype] for a in function.arguments]
    return loaded
