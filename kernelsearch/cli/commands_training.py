"""Commands that run kernels as training does."""

from pathlib import Path
from typing import Annotated

import typer

from kernelsearch.cli.options import (
    Config,
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    Json,
    Shadow,
    Threads,
    UntilBpb,
    Which,
    Workload,
    finish,
)
from kernelsearch.errors import UsageError


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Targets (default: all).")] = None,
    workload: Workload = None,
    dtype: DtypeOption = Dtype.FP32,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Also torch.compile; its first run takes minutes.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Seconds per workload and pass.")] = 3.0,
    config: Annotated[str | None, typer.Option(help="Measure whole training steps of this configuration.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="With --config: steps of each mode.")] = 40,
    keep_memory: Annotated[
        bool, typer.Option(help="With --config: malloc keeps what is freed, or is as the system has it.")
    ] = True,
    device: Annotated[Device, typer.Option(help="With --config: where to train, and whose kernels.")] = Device.CPU,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Measure accepted kernels, as training calls them, against eager, rivals and the speed of light."""
    from kernelsearch.cli import bench as command

    if config is not None:
        from kernelsearch.cli import bench_step

        request = bench_step.Request(
            config, steps, dtype.long, tuple(names or ()), compiled, keep_memory, threads, device.value
        )
        return finish(*bench_step.run(request), as_json)
    if device is Device.CUDA:
        raise UsageError("device='cuda': needs --config; single kernels for a GPU are measured by bench/gpu_rivals.py")
    finish(*command.run(tuple(names or ()), workload, dtype.long, seconds, threads, compiled=compiled), as_json)


def train(
    config: Config = "tiny",
    kernels: Annotated[Which, typer.Option(help="Which kernels training runs with.")] = Which.PROMOTED,
    until_bpb: UntilBpb = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after this many optimizer steps in all.")] = None,
    dtype: DtypeOption = Dtype.FP32,
    data: Annotated[Path | None, typer.Option(help="Folder of parquet shards (default: Python's own sources).")] = None,
    checkpoints: Annotated[Path | None, typer.Option(help="Where to save (default: the state folder).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the training run.")] = 1,
    shadow: Shadow = None,
    device: DeviceOption = Device.CPU,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train nanochat to a loss target, with the kernels that won."""
    from kernelsearch.cli import train as command

    request = command.Request(
        config,
        str(kernels),
        until_bpb,
        steps,
        dtype.long,
        data,
        checkpoints,
        seed,
        threads,
        shadow,
        is_resumed=resume,
        device=device.value,
    )
    finish(*command.run(request), as_json)


def run(
    command: Annotated[list[str], typer.Argument(help="After --: -m MODULE or a file, and its arguments.")],
    repo: Annotated[Path, typer.Option(help="Folder of a nanochat checkout; the script starts there.")],
    kernels: Annotated[Which, typer.Option(help="Which kernels to run with.")] = Which.PROMOTED,
    workload: Annotated[str | None, typer.Option(help="Prefer kernels measured at these shapes: tiny, d4, ...")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Run with the kernels of these targets only.")] = None,
    identity: Annotated[bool, typer.Option("--identity", help="Patch, but run upstream's own functions.")] = False,
    shadow: Shadow = None,
    device: Annotated[Device, typer.Option(help="Whose kernels to bind; where to train is the script's.")] = Device.CPU,
    trust: Annotated[Path | None, typer.Option(help="JSON of digests of changed symbols that you vouch for.")] = None,
    keep_memory: Annotated[bool, typer.Option("--keep-memory", help="Let malloc keep what is freed.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what ran to this file.")] = None,
) -> None:
    """Run an unmodified nanochat checkout with the kernels that won; its exit status is this command's."""
    from kernelsearch.cli import run as module

    request = module.Request(
        repo,
        tuple(command),
        str(kernels),
        workload,
        tuple(target or ()),
        shadow,
        trust,
        json_file,
        identity,
        keep_memory,
        device.value,
    )
    finish(*module.run(request), as_json=False)


def race(
    config: Config = "tiny",
    until_bpb: UntilBpb = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to race.")] = 1,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them; each race takes the next.")] = 1,
    kernels: Annotated[
        Which, typer.Option(help="accepted: the best that passed; promoted: won before.")
    ] = Which.ACCEPTED,
    target: Annotated[list[str] | None, typer.Option(help="Race the kernels of these targets only.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="At most this many steps.")] = None,
    dtype: DtypeOption = Dtype.FP32,
    data: Annotated[Path | None, typer.Option(help="Folder of parquet shards.")] = None,
    device: DeviceOption = Device.CPU,
    compiled: Annotated[bool, typer.Option("--compile", help="Both sides through torch.compile.")] = False,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Train twice in lockstep, with and without the kernels, to the same loss; promote them if they win."""
    from kernelsearch.cli import race as command

    request = command.Request(
        config,
        until_bpb,
        seeds,
        first_seed,
        str(kernels),
        tuple(target or ()),
        steps,
        dtype.long,
        data,
        threads,
        device.value,
        compiled,
    )
    finish(*command.run(request), as_json)
