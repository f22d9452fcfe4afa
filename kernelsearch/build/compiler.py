"""Which C++ compiler this machine has, and under what name its work is remembered."""

import shutil
import subprocess
from functools import cache

from kernelsearch.errors import EnvironmentMissing


@cache
def compiler() -> str:
    """The C++ compiler's path: g++ on PATH. Raises EnvironmentMissing where there is none."""
    found = shutil.which("g++")
    if found is None:
        raise EnvironmentMissing(
            "no C++ compiler: g++ is not on PATH. Install it with `sudo apt-get install g++` (Debian, Ubuntu) or "
            "`sudo dnf install gcc-c++` (Fedora)"
        )
    return found


@cache
def compiler_identity() -> str:
    text = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    return text.splitlines()[0]
