"""Options that several commands share, and how a command ends."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Dtype(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"

    @property
    def long(self) -> str:
        return {"fp32": "float32", "bf16": "bfloat16"}[self.value]


class Language(StrEnum):
    CPP = "cpp"
    TRITON = "triton"
    CUDA = "cuda"


class CandidateLanguage(StrEnum):
    CPP = "cpp"
    PYTHON = "python"
    TRITON = "triton"
    CUDA = "cuda"


class Which(StrEnum):
    PROMOTED = "promoted"
    ACCEPTED = "accepted"
    NONE = "none"


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"


Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on standard output.")]
TargetName = Annotated[
    str, typer.Argument(help="A target's name, your own function as FILE.py:NAME, or a target's folder.")
]
DtypeOption = Annotated[Dtype, typer.Option(help="Number format of the tensors.")]
DeviceOption = Annotated[Device, typer.Option(help="Where to train, and whose kernels to run.")]
Workload = Annotated[str | None, typer.Option(help="Shapes to time: a group such as tiny, or one name.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads for every contender (default: all cores).")]
Config = Annotated[str, typer.Option(help="Training configuration: tiny, d4, d6, d8, d12, d20.")]
Shadow = Annotated[
    float | None, typer.Option(help="Compute this share of the calls again, exactly; a wrong kernel is dropped.")
]
UntilBpb = Annotated[float | None, typer.Option(help="Validation bits per byte to reach (default: calibrated).")]

JUnit = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")]
BenchmarkAction = Annotated[Path | None, typer.Option(help="Write what github-action-benchmark reads to this file.")]


def finish(result: dict[str, Any], status: int, as_json: bool) -> None:
    """End the command: the document on standard output if it was asked for, and the exit status."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, sort_keys=False) + "\n")
    raise typer.Exit(status)
