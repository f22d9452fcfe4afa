"""What a verdict on a kernel rests on besides its source: compiler, CPU, flags, headers, torch, and the harness.

For a kernel that runs on a GPU: the GPU, its compilers, torch, and the harness.

A kernel accepted under another fingerprint is judged again before its first use: what was verified is what runs.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from kernelsearch.build import cpp
from kernelsearch.digest import digest, digest_files

# The harness is recorded but not compared: an edit to it changes neither the object that runs nor what it is linked to.
NOT_COMPARED = "harness"
HARNESS_PACKAGES = ("spec", "build", "verify", "timing", "sandbox")


@cache
def fingerprint(device: str = "cpu") -> dict[str, str]:
    """The fingerprint of this machine and installation, for kernels that run on `device`: "cpu" or "cuda"."""
    if device == "cuda":
        return {
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
            "cuda": torch.version.cuda or "none",
            "torch": version("torch"),
            "triton": _version("triton"),
            "cupy": _version("cupy-cuda13x", "cupy-cuda12x"),
            NOT_COMPARED: harness_digest(),
        }
    return {
        "compiler": cpp.compiler_identity(),
        "cpu": cpp.cpu_identity(),
        "flags": " ".join(cpp.FLAGS),
        "headers": digest_files(cpp.INCLUDE, "*.h"),
        "torch": version("torch"),
        NOT_COMPARED: harness_digest(),
    }


def _version(*names: str) -> str:
    """The version of the first of these packages that is installed."""
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            pass
    return "none"


def admission_place(contract_digest: str, device: str = "cpu") -> str:
    """Where a kernel is admitted: this machine and installation, and the contract it was judged against."""
    here = fingerprint(device)
    return digest([contract_digest, {key: value for key, value in here.items() if key != NOT_COMPARED}])


@cache
def harness_digest() -> str:
    """Digest of the code that judges: a verdict names it, so that a reader knows by which rules it was reached."""
    package = Path(__file__).parent.parent
    patterns = ("*.py", "*.cpp", "*.h")
    return digest([digest_files(package / name, pattern) for name in HARNESS_PACKAGES for pattern in patterns])
