"""How commands start the trainer: as another process, by module name, with kernels named by digest."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from kernelsearch.cli.kernels import leave_out, usable_kernels
from kernelsearch.cli.workplace import Workplace
from kernelsearch.dispatch.store import Accepted
from kernelsearch.errors import EnvironmentMissing, UsageError

FACTORY = "kernelsearch.dispatch.factory:promoted"
TIMED_OPS = "nanochat.timed:timed"
PACKAGES = ("pyarrow", "rustbpe", "tiktoken")


def trainer_module(name: str) -> str:
    """The trainer's module, or EnvironmentMissing saying what training needs here."""
    package = importlib.util.find_spec("nanochat")
    if package is None or importlib.util.find_spec(f"nanochat.{name}") is None:
        raise EnvironmentMissing(
            f"no nanochat.{name} here: train and race need this project's source tree "
            "(clone it and use `bash scripts/run train`); the installed package has the kernels alone"
        )
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise EnvironmentMissing(f"{', '.join(missing)} missing: pip install 'kernelsearch[nanochat]'")
    return f"nanochat.{name}"


def trainer_command(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", trainer_module(name))


def describe_config(name: str) -> dict[str, Any]:
    """Steps, evaluation cadence and calibrated target of a training configuration."""
    done = subprocess.run([*trainer_command("config"), name], capture_output=True, text=True)
    if done.returncode != 0:
        raise UsageError(
            f"config={name!r}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'unknown'}"
        )
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def choose_kernels(
    place: Workplace, which: str, group: str | None, dtype: str, targets: tuple[str, ...] = (), device: str = "cpu"
) -> dict[str, Accepted]:
    """The kernels a run may use, judged again here where they must be; empty for "none".

    Those measured on the workloads of `group`, a configuration's name, come first; `targets` limits them to these.
    """
    if which == "none":
        return {}
    folders = [place.target(name) for name in targets] if targets else place.folders()
    kernels = usable_kernels(place, folders, dtype, group, is_promoted_only=which == "promoted", device=device)
    return leave_out(folders, kernels, named=targets)


def ops_argument(place: Workplace, kernels: dict[str, Accepted], dtype: str, device: str = "cpu") -> dict[str, Any]:
    """What the trainer hands to the factory in its own process."""
    return {
        "state_dir": str(place.state_dir),
        "library": str(place.library),
        "device": device,
        "dtype": dtype,
        "which": "accepted" if kernels else "none",
        "digests": sorted(kernel.digest for kernel in kernels.values()),
    }


def read_band(config: str) -> dict[str, float] | None:
    """Gaps up to which two runs count as equal: the largest of runs that differ in rounding alone.

    Measured by scripts/measure_band.py: of n pairs, so that one further equal pair in n + 1 is called different.
    """
    package = importlib.util.find_spec("nanochat")
    assert package is not None and package.submodule_search_locations
    file = Path(next(iter(package.submodule_search_locations))) / "bands.json"
    try:
        bands: dict[str, dict[str, Any]] = json.loads(file.read_text())
    except OSError:
        return None
    except json.JSONDecodeError as error:
        raise UsageError(f"{file}: cannot be read ({error})") from None
    measured = bands.get(config)
    if measured is None:
        return None
    return {name: float(measured[name]) for name in ("max_loss_gap", "bpb_gap")}
