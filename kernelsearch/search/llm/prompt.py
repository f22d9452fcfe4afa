"""What a model or an agent is told, and how much of it: the text is the product, so it is all in this module.

Two parts. The stable one (task, rules, contract, machine) is the same for a whole study and comes first, so that
providers can cache it. The turn (records, where time goes, failures, dead ends, one idea, the question) changes.
Every section has a limit in bytes. Figures are rounded, and no time of day, seed or path is in the text: the same
history gives the same prompt. What a failure shows is the verdict's own counterexample, which holds no seed and no
margin (verify/shrink.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelsearch.search.llm.facts import Facts
from kernelsearch.search.llm.fence import RULE, cut, printable, quoted
from kernelsearch.search.llm.rules import ANSWER, FILE_ANSWER, GATES, RULES
from kernelsearch.search.proposer import REJECTED, Trial
from kernelsearch.spec import Candidate, Idea, Status, Value, tunable_space
from kernelsearch.spec.library import SUFFIXES


@dataclass(frozen=True)
class Sizes:
    """The most bytes of each part; `records`, `failures` and `dead_ends` are numbers of entries.

    The parts add up to less than `stable` and `turn`, so that nothing is ever cut through the marks of a quotation.
    """

    records: int = 3
    source: int = 14_000
    other_source: int = 8_000
    remarks: int = 3_000
    failures: int = 4
    failed_source: int = 6_000
    counterexample: int = 1_200
    dead_ends: int = 24
    dead_end: int = 250
    section: int = 4_000
    reference: int = 8_000
    stable: int = 34_000
    turn: int = 64_000


@dataclass(frozen=True)
class Attempt:
    """A proposal of this study: the trial it became, or why it became none."""

    name: str
    idea: str
    trial: Trial | None
    reason: str = ""


def stable_part(facts: Facts, sizes: Sizes, *, is_folder: bool = False) -> str:
    """Task, rules, contract and machine."""
    fence = "cpp" if facts.language == "cpp" else "python"
    answer = (
        FILE_ANSWER.format(file=f"candidate{SUFFIXES[facts.language]}") if is_folder else ANSWER.format(fence=fence)
    )
    sections = {
        "Task": (
            f"Write a {facts.language} kernel for the target `{facts.target}` ({facts.summary}) that computes the same "
            f"as the reference and takes less time on the machine below. Tensors of the contract's own dtype "
            f"(scalar_t) are {facts.dtype} here. A judge proves or refutes every proposal and measures it; its verdict "
            "comes back to you. You never need to convince anybody: only a faster, equal kernel counts."
        ),
        "Answer": answer,
        "Material": RULE,
        "What is computed": cut(facts.definition.strip(), sizes.section)
        + "\n\nThe reference, float64, never timed:\n\n"
        + quoted("reference.py", facts.reference, sizes.reference),
        "Functions to define": cut(facts.abi, 2 * sizes.section),
        "Precision": cut(facts.precision, sizes.section),
        f"Rules for {facts.language}": RULES[facts.language],
        "How it is judged": GATES,
        "Machine": facts.machine,
        "Work, and the least time it could take": cut(facts.workloads, sizes.section),
    }
    return _join(sections)


def turn_part(
    facts: Facts,
    history: Sequence[Trial],
    attempts: Sequence[Attempt],
    sizes: Sizes,
    *,
    number: int,
    remarks: str = "",
    idea: Idea | None = None,
    tuned: Candidate | None = None,
) -> str:
    """Where the study stands, and the question: a source, or with `tuned` a binding of its tunables."""
    question = _tuning_question(tuned, history) if tuned is not None else _question(number, idea)
    sections = {
        "Best so far": _records(history, sizes),
        "Where time goes": _where_time_goes(history),
        "What the compiler says of the best": quoted("vectorisation", remarks, sizes.remarks) if remarks else "",
        "Last failures": _failures(history, attempts, sizes),
        "Already tried": _dead_ends(attempts, sizes),
    }
    return f"{_join(sections)}\n\n{question}"


def best_records(history: Sequence[Trial], count: int) -> list[Trial]:
    """The best trial of each of the best sources, the best first."""
    found: dict[str, Trial] = {}
    for trial in sorted(history, key=lambda t: (t.verdict.accepted, t.score), reverse=True):
        if trial.score > REJECTED:
            found.setdefault(trial.candidate.source, trial)
    return list(found.values())[:count]


def folder_files(facts: Facts, history: Sequence[Trial], sizes: Sizes) -> dict[str, str]:
    """What lies beside the brief for who works in a folder: the functions to define, and the best sources."""
    suffix = SUFFIXES[facts.language]
    records = best_records(history, sizes.records)
    best = {f"best-{number}{suffix}": trial.candidate.source for number, trial in enumerate(records, start=1)}
    return {"abi.txt": facts.abi + "\n", **best}


def _join(sections: Mapping[str, str]) -> str:
    return "\n\n".join(f"# {title}\n\n{text.strip()}" for title, text in sections.items() if text.strip())


def _records(history: Sequence[Trial], sizes: Sizes) -> str:
    records = best_records(history, sizes.records)
    if not records:
        return "Nothing has passed yet."
    shown = []
    for rank, trial in enumerate(records, start=1):
        verdict = trial.verdict
        unproven = "not proven, slower at a first look" if verdict.status is Status.SLOWER else "right, no faster"
        state = "accepted" if verdict.accepted else unproven
        size = sizes.source if rank == 1 else sizes.other_source
        head = f"{rank}. `{_name(trial.candidate)}`: {_ratio(verdict.low)} the baseline's speed at least, {state}."
        shown.append(f"{head}\n\n{quoted(f'source {rank}', trial.candidate.source, size)}")
    return "\n\n".join(shown)


def _where_time_goes(history: Sequence[Trial]) -> str:
    """Of the best kernel: its share of each workload, and how far each is from the machine's limit."""
    records = best_records(history, 1)
    if not records or not records[0].verdict.measurements:
        return ""
    measured = records[0].verdict.measurements
    total = sum(m.calls * m.candidate_us for m in measured)
    lines = ["workload | share of its time | us a call | baseline us | least us possible"]
    for m in measured:
        figures = " | ".join(_figure(us) for us in (m.candidate_us, m.baseline_us, m.speed_of_light_us))
        lines.append(f"{m.workload} ({m.passes}) | {m.calls * m.candidate_us / total:.0%} | {figures}")
    return "\n".join(lines)


def _failures(history: Sequence[Trial], attempts: Sequence[Attempt], sizes: Sizes) -> str:
    """The last trials that a gate ended, one of each class, and answers that held no kernel; the last one in full."""
    shown: list[str] = []
    classes: set[tuple[Status, str]] = set()
    useless = [attempt for attempt in attempts[-sizes.failures :] if attempt.trial is None]
    if useless:
        reasons = "\n".join(cut(attempt.reason, sizes.dead_end) for attempt in useless)
        shown.append(f"- Answers that were not used:\n\n{quoted('why', reasons, sizes.counterexample)}")
    for trial in reversed(history):
        verdict = trial.verdict
        failed = [gate.name for gate in verdict.gates if not gate.passed]
        kind = verdict.status, verdict.detail
        is_known = verdict.passed or verdict.status in (Status.SLOWER, Status.INFRASTRUCTURE) or kind in classes
        if is_known or len(classes) == sizes.failures:
            continue
        gate = f" at gate {failed[-1]}" if failed else ""
        text = f"- `{_name(trial.candidate)}`: {verdict.status}{gate}."
        found = "\n".join(part for part in (verdict.detail, verdict.counterexample) if part)
        text += f"\n\n{quoted('what the judge found', found, sizes.counterexample)}"
        if not classes:
            text += f"\n\nIts source:\n\n{quoted('failed source', trial.candidate.source, sizes.failed_source)}"
        classes.add(kind)
        shown.append(text)
    return "\n".join(shown)


def _dead_ends(attempts: Sequence[Attempt], sizes: Sizes) -> str:
    """One line for each proposal of this study, with the numbers it was bound to: not to be tried again."""
    tried = [attempt for attempt in attempts if attempt.trial is not None][-sizes.dead_ends :]
    lines = []
    for attempt in tried:
        assert attempt.trial is not None
        verdict = attempt.trial.verdict
        outcome = _ratio(verdict.low) if attempt.trial.score > REJECTED else str(verdict.status)
        lines.append(cut(f"{_name(attempt.trial.candidate)}: {outcome}. {attempt.idea}".rstrip(), sizes.dead_end))
    return quoted("earlier proposals", "\n".join(lines), sizes.dead_ends * sizes.dead_end) if lines else ""


def _question(number: int, idea: Idea | None) -> str:
    if idea is None:
        wish = "Choose one idea that is not among those tried already, and carry it out. "
    else:
        text = f"{idea.text}\nexpected: {idea.predicts or 'not said'}\nfrom: {idea.source or idea.author or 'not said'}"
        wish = f"Carry out this idea, if the contract allows it:\n\n{quoted('idea', text, 2000)}\n\n"
    return f"# Question {number}\n\n{wish}Answer as described above, with the whole source."


def _tuning_question(tuned: Candidate, history: Sequence[Trial]) -> str:
    space = tunable_space(tuned.source)
    tried = [t for t in history if t.candidate.source == tuned.source]
    lines = [f"{_bound(t.candidate.tunables)}: {_outcome(t)}" for t in tried][-40:]
    declared = "\n".join(f"- {name} in {' '.join(map(str, values))}" for name, values in space.items())
    return (
        "# Question\n\nThis time no source is wanted: bind the tunables of source 1 anew, as JSON with one declared "
        "value for each and a short reason (`idea`). It must not be one of those tried.\n\n"
        f"{quoted('source 1 declares', declared, 3000)}\n\n{quoted('tried', chr(10).join(lines), 4000)}"
    )


def _outcome(trial: Trial) -> str:
    return _ratio(trial.verdict.low) if trial.score > REJECTED else str(trial.verdict.status)


def _name(candidate: Candidate) -> str:
    bound = _bound(candidate.tunables)
    return printable(f"{candidate.origin} {bound}".strip()).replace("`", "'").replace("\n", " ")[:200]


def _bound(tunables: Mapping[str, Value]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(tunables.items()))


def _ratio(low: float | None) -> str:
    return "not timed" if low is None else f"{low:.2f}x"


def _figure(us: float) -> str:
    return f"{us:.3g}" if us < 1000 else f"{us:.0f}"
