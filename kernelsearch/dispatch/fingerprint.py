"""What a verdict on a kernel rests on besides its source: compiler, CPU, flags, headers, torch, and the harness.

A kernel accepted under another fingerprint is judged again before its first use: what was verified is what runs.
"""

from functools import cache
from importlib.metadata import version
from pathlib import Path

from kernelsearch.build import cpp
from kernelsearch.digest import digest, digest_files

# The harness is recorded but not compared: an edit to it changes neither the object that runs nor what it is linked to.
COMPARED = ("compiler", "cpu", "flags", "headers", "torch")
HARNESS_PACKAGES = ("spec", "build", "verify", "timing", "sandbox")


@cache
def fingerprint() -> dict[str, str]:
    """The fingerprint of this machine and installation."""
    return {
        "compiler": cpp.compiler_identity(),
        "cpu": cpp.cpu_identity(),
        "flags": " ".join(cpp.FLAGS),
        "headers": digest_files(cpp.INCLUDE, "*.h"),
        "torch": version("torch"),
        "harness": harness_digest(),
    }


def admission_place(contract_digest: str) -> str:
    """Where a kernel is admitted: this machine and installation, and the contract it was judged against."""
    here = fingerprint()
    return digest([contract_digest, {key: here[key] for key in COMPARED}])


@cache
def harness_digest() -> str:
    """Digest of the code that judges: a verdict names it, so that a reader knows by which rules it was reached."""
    package = Path(__file__).parent.parent
    patterns = ("*.py", "*.cpp", "*.h")
    return digest([digest_files(package / name, pattern) for name in HARNESS_PACKAGES for pattern in patterns])
