"""What a proposer is told of this machine and of the work: facts of the hardware, and the roofline of each workload."""

from collections.abc import Callable
from pathlib import Path

from kernelsearch.build import cpp
from kernelsearch.build.abi import describe_abi
from kernelsearch.build.host import host_functions
from kernelsearch.cli.workplace import Workplace
from kernelsearch.search.llm import Facts, remembered
from kernelsearch.spec import Target, TargetFolder, Workload
from kernelsearch.timing.environment import cpu_model
from kernelsearch.timing.roofline import Peaks, measured_peaks

VECTORS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "amx_bf16", "asimd", "sve", "bf16")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def gather_facts(
    place: Workplace, folder: TargetFolder, language: str, dtype: str, workloads: tuple[Workload, ...], context: str
) -> Facts:
    """The texts of a study in this context; what is measured (a second) is kept, so that they stay the same."""
    target = folder.target

    def remember(name: str, describe: Callable[[Peaks], str]) -> str:
        def make() -> str:
            return describe(measured_peaks(place.cache_dir, cpp.cpu_identity()))

        return remembered(place.ledger, place.objects, name, context, make)

    return Facts(
        target=target.name,
        language=language,
        dtype=dtype,
        summary=target.summary,
        definition=str(folder.module("target").__doc__ or target.summary),
        reference=(folder.path / "reference.py").read_text(),
        abi=describe_functions(target, language),
        precision=describe_precision(target, dtype),
        machine=remember("machine", lambda peaks: describe_machine(place.threads, peaks)),
        workloads=remember("workloads", lambda peaks: describe_workloads(target, workloads, peaks)),
    )


def describe_functions(target: Target, language: str) -> str:
    """The functions to define, before any saved tensor, and the sizes that they must accept."""
    if language == "cpp":
        functions = describe_abi(target, "")
    else:
        functions = "\n".join(f"def {n}({', '.join(a)}): ..." for n, a in host_functions(target, "").items())
    lines = [functions, ""]
    for entry in target.entries:
        axes = ", ".join(f"{a.name} from {a.minimum}" + (f" by {a.multiple}" * (a.multiple > 1)) for a in entry.axes)
        shapes = ", ".join(f"{t.name}[{' '.join(t.axes)}]" for t in (*entry.inputs, *entry.outputs))
        changed = f"; changed in place: {', '.join(entry.updates)}" if entry.updates else ""
        gradients = f"; gradients of {', '.join(entry.gradients)}" if entry.gradients else "; no backward"
        lines.append(f"{entry.name}: {shapes}; axes {axes}{changed}{gradients}.")
    lines += [f"Always: {constraint}." for constraint in target.constraints]
    return "\n".join(lines)


def describe_precision(target: Target, dtype: str) -> str:
    """The contract's policy in words; how errors are judged by it is the judge's."""
    stored = target.stored.get(dtype, ())
    rounded = f" These may be rounded to {dtype} on the way: {'; '.join(stored)}." if stored else ""
    accumulated = "float32" if target.accumulator.get(dtype, 1.0) <= 2.0**-24 else dtype
    return f"Inputs and outputs are {dtype}; arithmetic and sums are at least as precise as {accumulated}.{rounded}"


def describe_machine(threads: int, peaks: Peaks) -> str:
    bandwidths = ", ".join(
        f"{_bytes(size)}: {_two_digits(value / 1e9)} GB/s" for size, value in sorted(peaks.bandwidth.items())
    )
    return "\n".join(
        (
            f"- {cpu_model()}, {threads} threads for every contender (OpenMP)",
            f"- vector features: {_features() or 'not known'}",
            f"- caches of a core: {_caches() or 'not known'}",
            f"- float32 arithmetic of its matrix product: {_two_digits(peaks.flops / 1e9)} GFLOP/s (measured)",
            f"- copying, by footprint: {bandwidths} (measured)",
        )
    )


def describe_workloads(target: Target, workloads: tuple[Workload, ...], peaks: Peaks) -> str:
    """Every timed shape: how often a training step calls it, and the roofline of its passes."""
    lines = ["workload | sizes | calls a step | pass | operations | bytes | least us | bound by"]
    for w in workloads:
        entry = target.entry(w.entry)
        sizes = " ".join(f"{name}={value}" for name, value in {**w.sizes, **w.parameters}.items())
        for backward in (False, True) if entry.has_backward else (False,):
            work = entry.work(w.sizes, w.parameters, w.dtype, backward=backward)
            least = peaks.speed_of_light_us(work)
            bound = "arithmetic" if 1e6 * work.flops / peaks.flops >= least else "bytes"
            passes = "forward+backward" if backward else "forward"
            lines.append(
                f"{w.name} ({w.entry}) | {sizes} | {w.calls:g} | {passes} | {work.flops:.3g} | {work.bytes:.3g} | "
                f"{least:.3g} | {bound}"
            )
    return "\n".join(lines)


def _features() -> str:
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return ""
    return " ".join(name for name in VECTORS if name in words)


def _caches() -> str:
    found = []
    for index in sorted(CACHES.glob("index*")):
        try:
            level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found.append(f"L{level} {size}")
    return ", ".join(found)


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


def _bytes(size: int) -> str:
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"
