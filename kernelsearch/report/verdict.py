"""One verdict in full: the answer, the gates with what they cost, and every measurement behind the speedup."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kernelsearch.report.text import foreign, format_interval, format_us, name_outcome, style_of
from kernelsearch.spec import Measurement, Resources, Verdict


def render_verdict(verdict: Verdict) -> RenderableType:
    """What `check` shows, and what `optimize` shows of its best."""
    parts: list[RenderableType] = [_headline(verdict)]
    if verdict.detail:
        parts.append(_indent(foreign(verdict.detail)))
    if verdict.counterexample:
        parts.append(_indent(Text("counterexample:")))
        parts.append(_indent(foreign(verdict.counterexample), 4))
    if verdict.gates:
        parts.append(_indent(_gates(verdict)))
    if verdict.resources:
        parts.append(_indent(render_resources(verdict.resources)))
    if verdict.measurements:
        parts.append(_indent(render_measurements(verdict.measurements)))
    return Group(*parts)


def render_measurements(measurements: tuple[Measurement, ...]) -> Table:
    """Latencies and speedup of each workload.

    The share of speed of light is least possible time / candidate's time. The A/A noise is the difference up to which
    this machine could not tell two identical programs apart in the same rounds.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("workload", no_wrap=True)
    table.add_column("pass")
    for title in ("speedup", "candidate us", "baseline us", "speed of light", "A/A noise", "calls a step"):
        table.add_column(title, justify="right", no_wrap=title == "speedup")
    for m in measurements:
        table.add_row(
            foreign(m.workload),
            foreign(m.passes.replace("forward", "fwd").replace("backward", "bwd")),
            Text(format_interval(m.speedup, m.low, m.high)),
            Text(format_us(m.candidate_us)),
            Text(format_us(m.baseline_us)),
            Text(f"{m.speed_of_light_us / m.candidate_us:.0%}"),
            Text(f"{m.noise:.1%}"),
            Text(f"{m.calls:g}"),
        )
    return table


def render_resources(resources: tuple[Resources, ...]) -> Table:
    """What each kernel takes of a GPU's multiprocessor, compiled ahead of time."""
    table = Table(box=None, pad_edge=False)
    for title in ("kernel", "for", "registers", "stack", "shared memory", "warps", "occupancy"):
        table.add_column(title, justify="left" if title in ("kernel", "for") else "right")
    for r in resources:
        numbers = (str(r.registers), f"{r.stack_bytes} B", f"{r.shared_bytes} B", str(r.warps), f"{r.occupancy:.0%}")
        table.add_row(foreign(r.kernel), Text(f"sm_{r.architecture}"), *map(Text, numbers))
    return table


def _headline(verdict: Verdict) -> Text:
    text = foreign(f"{verdict.target} {verdict.digest[:12]} ({verdict.language}, {verdict.dtype}): ")
    text.append(name_outcome(verdict), style=f"bold {style_of(verdict.status)}")
    if verdict.speedup is not None:
        text.append(f", {format_interval(verdict.speedup, verdict.low, verdict.high)} against the baseline")
    if verdict.passed:
        text.append(", accepted" if verdict.accepted else ", not accepted")
    return text


def _gates(verdict: Verdict) -> Text:
    text = Text("gates: ")
    for index, gate in enumerate(verdict.gates):
        text.append(", " if index else "")
        text.append(f"{gate.name} {gate.seconds:.1f} s", style="" if gate.passed else "red")
        text.append("" if gate.passed else " failed", style="red")
    return text


def _indent(renderable: RenderableType, by: int = 2) -> Padding:
    return Padding(renderable, (0, 0, 0, by), expand=False)
