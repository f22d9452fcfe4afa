"""Which kernels training may run here: accepted ones, judged again where they were judged on another machine.

A kernel is judged again once per fingerprint (compiler, CPU, flags, headers, torch) and contract; the answer is in the
ledger. Until it has passed, the baseline runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kernelsearch.cli.workplace import Workplace
from kernelsearch.dispatch.bind import select
from kernelsearch.dispatch.fingerprint import admission_place, fingerprint
from kernelsearch.dispatch.store import Accepted
from kernelsearch.report.text import format_interval, open_console
from kernelsearch.sandbox.judge import Care
from kernelsearch.spec import TargetFolder, Verdict
from kernelsearch.timing.clock import Effort

SHORT = Care(examples=20, search_s=2.0, effort=Effort(seconds=0.6, minimum_rounds=12, maximum_rounds=16))


def usable_kernels(
    place: Workplace,
    folders: list[TargetFolder],
    dtype: str,
    group: str | None,
    *,
    is_promoted_only: bool,
    device: str = "cpu",
) -> dict[str, Accepted]:
    """The best kernel of each target that may run on this machine, by target name.

    Kernels measured on the workloads of `group` come first: a speedup at other shapes says less about these.
    """
    found = {}
    for folder in folders:
        name = folder.target.name
        eligible = select(is_promoted_only=is_promoted_only, digests=None)
        kernels = [kernel for kernel in place.store.kernels(name, device, dtype) if eligible(kernel)]
        candidates = sorted(kernels, key=lambda kernel: (_is_measured_on(kernel, group), kernel.low), reverse=True)
        admitted = next((a for a in candidates if is_admitted(place, folder, a)), None)
        if admitted is not None:
            found[name] = admitted
    return found


Compositions = Mapping[str, Callable[[Callable[..., Any]], Callable[..., Any]]]


def parts_of(folder: TargetFolder) -> Compositions:
    """By entry of another target: what makes of that entry's kernel a rival of this target's."""
    parts: Compositions = getattr(folder.module("baseline"), "PARTS", {})
    return parts


def spans_of(folders: Sequence[TargetFolder]) -> dict[str, tuple[str, ...]]:
    """By target that spans others: those that are its parts."""
    owners = {entry.name: folder.target.name for folder in folders for entry in folder.target.entries}
    found = {f.target.name: tuple(dict.fromkeys(owners[e] for e in parts_of(f) if e in owners)) for f in folders}
    return {span: parts for span, parts in found.items() if parts}


def served_by(folder: TargetFolder) -> Compositions:
    """By entry of another target: what makes of this target's kernel a rival of it, as one of several uses."""
    served: Compositions = getattr(folder.module("baseline"), "SERVES", {})
    return served


def leave_out(
    folders: Sequence[TargetFolder], kernels: Mapping[str, Accepted], named: Sequence[str] = ()
) -> dict[str, Accepted]:
    """What of these kernels training should run; says what stays out and why.

    Of targets that were not named, a kernel that `bench` found behind a rival; and kernels for the parts of what
    another kernel spans: nobody would call them.
    """
    console = open_console(stderr=True)
    chosen = dict(kernels)
    for name in [name for name, kernel in kernels.items() if kernel.behind and name not in named]:
        rival, speedup = min(chosen.pop(name).behind.items(), key=lambda item: item[1])
        message = f"{name} stays out unless it is named: {speedup:.2f}x of {rival}"
        console.print(message, markup=False, soft_wrap=True)
    for span in [folder for folder in folders if folder.target.name in chosen]:
        parts = set(parts_of(span))
        for folder in folders:
            name = folder.target.name
            if name in chosen and parts >= {entry.name for entry in folder.target.entries}:
                del chosen[name]
                console.print(f"{name} stays out: {span.target.name} spans it", markup=False, soft_wrap=True)
    return chosen


def _is_measured_on(kernel: Accepted, group: str | None) -> bool:
    return any(m.workload.split("/")[0] == group for m in kernel.verdict.measurements)


def is_admitted(place: Workplace, folder: TargetFolder, accepted: Accepted) -> bool:
    """Whether what was judged is what would run here; if not, whether it passes here, which takes half a minute."""
    others = accepted.differences(fingerprint(accepted.device))
    others += ["contract"] if accepted.contract_digest != folder.contract_digest else []
    if not others:
        return True
    where = admission_place(folder.contract_digest, accepted.device)
    for line in place.ledger.find("admission", candidate=accepted.digest, where=where, dtype=accepted.dtype):
        return bool(line.body["admitted"])
    console = open_console(stderr=True)
    name = folder.target.name
    why = f"{name}: its kernel was judged with another {', '.join(others)}; judging it again here, once"
    console.print(why, markup=False, soft_wrap=True)
    verdict = judge_again(place, accepted)
    # Equality is proved again in full; that it is faster was proved elsewhere, and need only not be refuted here.
    is_usable = verdict.passed and verdict.speedup is not None and verdict.speedup > 1.0
    found = format_interval(verdict.speedup, verdict.low, verdict.high)
    console.print(
        f"{name}: {verdict.status}, {found}{'' if is_usable else ', stays out'}", markup=False, soft_wrap=True
    )
    body: dict[str, Any] = {
        "candidate": accepted.digest,
        "where": where,
        "dtype": accepted.dtype,
        "admitted": is_usable,
        "verdict": verdict.as_json(),
    }
    place.ledger.append("admission", body)
    return is_usable


def judge_again(place: Workplace, accepted: Accepted) -> Verdict:
    """Every gate and a short timing on the workloads it was accepted for."""
    folder = place.target(accepted.candidate.target)
    names = {m.workload for m in accepted.verdict.measurements}
    workloads = tuple(w for w in folder.workloads(None, accepted.dtype) if w.name in names)
    timed = workloads or folder.workloads(None, accepted.dtype)
    judge = place.judge_for(accepted.candidate.language, folder, accepted.dtype, timed)
    return replace(judge, care=SHORT).judge(accepted.candidate)
