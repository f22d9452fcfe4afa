"""CUDA candidates compiled ahead of time, for GPUs that need not be here, with what each kernel takes."""

import importlib.util
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kernelsearch.build.ahead import ask_ahead
from kernelsearch.build.cuda import cuda_texts, device_text
from kernelsearch.build.resources import checked_resources
from kernelsearch.build.triton_ahead import host_calls
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.record import Resources
from kernelsearch.spec.target import Target
from kernelsearch.spec.workload import Workload

NAMES = {90: "sm_90a", 100: "sm_100a"}  # with the instructions of that architecture alone
NEEDED = "pip install 'kernelsearch[cuda-check]' (about 0.3 GB), or install nvcc"


@cache
def cuda_compiler() -> tuple[str, str, str] | None:
    """Its name, where it is (nvcc) or finds its headers (NVRTC), and its version; None where there is none."""
    try:
        found = importlib.util.find_spec("cuda.bindings.nvrtc"), importlib.util.find_spec("nvidia")
        if all(spec is not None for spec in found):
            headers = _packaged_headers()
            if headers:
                return "nvrtc", str(headers[0]), version("nvidia-cuda-nvrtc")
    except (PackageNotFoundError, ModuleNotFoundError):
        pass
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False).stdout
    return "nvcc", nvcc, text.strip().splitlines()[-1] if text.strip() else "unknown"


def cuda_headers() -> tuple[Path, ...]:
    """The folder that holds cuda_bf16.h: that of the packages which bring NVRTC, or beside nvcc; empty without one."""
    nvcc = shutil.which("nvcc")
    beside = [Path(nvcc).resolve().parent.parent / "include"] if nvcc is not None else []
    return (*_packaged_headers(), *(folder for folder in beside if (folder / "cuda_bf16.h").is_file()))[:1]


def _packaged_headers() -> tuple[Path, ...]:
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations if spec is not None else None
    folders = [folder for place in places or () for folder in sorted(Path(place).glob("cu*/include"), reverse=True)]
    return tuple(folder for folder in folders if (folder / "cuda_bf16.h").is_file())


def compile_ahead(
    target: Target,
    candidate: Candidate,
    workloads: tuple[Workload, ...],
    architectures: tuple[int, ...],
    cache_dir: Path,
) -> tuple[Resources, ...] | None:
    """What every kernel takes, launched for these workloads; the first architecture's first. None without a compiler.

    Raises BuildError for what does not compile or fit anywhere, or spills more than the file admits.
    """
    compiler = cuda_compiler()
    if compiler is None:
        return None
    request = {
        "source": candidate.source,
        "tunables": dict(candidate.tunables),
        "calls": [call for workload in workloads for call in host_calls(target, candidate, workload)],
        "texts": {t.name: device_text(candidate, t, workloads[0].dtype) for t in cuda_texts(candidate.source)},
        "architectures": [[number, NAMES.get(number, f"sm_{number}")] for number in architectures],
        "compiler": compiler[0],
        "where": compiler[1],
    }
    worker = Path(__file__).with_name("cuda_worker.py")
    found = ask_ahead(worker, request, compiler[2], cache_dir)
    return checked_resources(candidate.source, found)
