"""What machine and software a measurement was taken on."""

import os
import platform
from pathlib import Path
from typing import Any

import torch


def describe_environment(*, threads: int, allocator_tuned: bool) -> dict[str, Any]:
    """Facts a reader needs to judge a figure; goes into every study."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "allocator": "glibc, freed memory kept" if allocator_tuned else "default",
    }


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def load_average() -> float:
    return os.getloadavg()[0]
