"""Which OpenMP runtime kernels run on: the one that torch brings, so that there is only one; else the system's."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

from kernelsearch.errors import EnvironmentMissing


@cache
def openmp_library() -> str:
    """Path or name of the library; torch is looked for, not imported. Raises EnvironmentMissing where there is none."""
    spec = importlib.util.find_spec("torch")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package / "lib", package.parent / "torch.libs"):
            for file in sorted(folder.glob("libgomp*.so*")):
                return str(file)
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError as error:
        raise EnvironmentMissing(f"no OpenMP runtime: {error}. Install libgomp1 (Debian, Ubuntu) or libgomp") from None
    return "libgomp.so.1"
