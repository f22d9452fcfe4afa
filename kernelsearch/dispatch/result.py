"""What a race says: how much sooner promoted kernels reached the target, how sure that is, and whether losses agree.

    speedup = baseline seconds to target / promoted seconds to target = step-time ratio x steps ratio

The interval is that of the step-time ratio: log ratios of the chunks that both sides ran (same steps, same minute) are
resampled 10,000 times, and the 95% interval of their mean is carried over to the speedup, steps held fixed. It says how
well this machine measured this run, not how another seed would have gone.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

RESAMPLES = 10_000
LEAST_PAIRS = 5


@dataclass
class Track:
    """What one side did so far; `evaluations` are (steps, training seconds, bits per byte)."""

    losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    chunk_seconds: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float, float]] = field(default_factory=list)
    tokens: int = 0
    peak_bytes: int | None = None

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def seconds(self) -> float:
        return sum(self.step_seconds)

    @property
    def val_bpb(self) -> float | None:
        return self.evaluations[-1][2] if self.evaluations else None

    def add_chunk(self, losses: list[float], seconds: list[float], tokens: int) -> None:
        self.losses += losses
        self.step_seconds += seconds
        self.chunk_seconds.append(sum(seconds))
        self.tokens += tokens

    def add_evaluation(self, bpb: float) -> None:
        self.evaluations.append((self.steps, self.seconds, bpb))


@dataclass(frozen=True)
class Side:
    """One side's totals: its own training steps only. `peak_bytes` is the most memory its process had resident."""

    seconds: float
    steps: int
    tokens: int
    tokens_per_second: float | None
    val_bpb: float | None
    peak_bytes: int | None


@dataclass(frozen=True)
class RaceResult:
    """The answer. `void` means that it says nothing about the kernels, for `reason`.

    `bpb_gap` is that of the last evaluation that both sides made; `band` is what the gaps were held against.
    """

    config: str
    target_bpb: float | None
    baseline: Side
    promoted: Side
    speedup: float | None
    low: float | None
    high: float | None
    equality: str
    max_loss_gap: float | None
    bpb_gap: float | None
    band: Mapping[str, float] | None
    fallbacks: Mapping[str, Mapping[str, int]]
    launches: Mapping[str, Mapping[str, int]]
    curves: Mapping[str, Mapping[str, Any]]
    void: bool
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON; a number that is not finite becomes null."""
        cleaned: dict[str, Any] = _finite(asdict(self))
        return cleaned


def judge_race(
    config: str,
    target_bpb: float | None,
    band: Mapping[str, float] | None,
    seed: int,
    tracks: Mapping[str, Track],
    reports: Mapping[str, Mapping[str, Any]],
    interruption: str | None,
) -> RaceResult:
    """Compare the tracks "baseline" and "promoted"; `reports` is what their kernels said of themselves."""
    baseline, promoted = tracks["baseline"], tracks["promoted"]
    kernels: Mapping[str, Any] = reports.get("promoted", {}).get("kernels", {})
    launches = {entry: kernel["launches"] for entry, kernel in kernels.items()}
    speedup, low, high = estimate_speedup(baseline, promoted, seed)
    gap = max_loss_gap(baseline, promoted)
    void_reason = interruption or _void_reason(target_bpb, baseline, promoted, launches)
    lost = not _has_reached(promoted, target_bpb) and not void_reason
    is_known = not void_reason and not lost
    return RaceResult(
        config=config,
        target_bpb=target_bpb,
        baseline=_side(baseline),
        promoted=_side(promoted),
        speedup=speedup if is_known else None,
        low=low if is_known else None,
        high=high if is_known else None,
        equality=compare_tracks(baseline, promoted, band),
        max_loss_gap=gap,
        bpb_gap=bpb_gap(baseline, promoted),
        band=band,
        fallbacks={entry: kernel["fallbacks"] for entry, kernel in kernels.items()},
        launches=launches,
        curves={name: _curve(track) for name, track in tracks.items()},
        void=void_reason is not None,
        reason=void_reason or (f"promoted did not reach {target_bpb} in {promoted.steps} steps" if lost else None),
    )


def estimate_speedup(baseline: Track, promoted: Track, seed: int) -> tuple[float | None, float | None, float | None]:
    """(speedup, low, high): the ratio of seconds, and its interval from the chunks that both sides ran."""
    n = min(len(baseline.chunk_seconds), len(promoted.chunk_seconds))
    if n < LEAST_PAIRS:
        return None, None, None
    logs = np.log(np.array(baseline.chunk_seconds[:n]) / np.array(promoted.chunk_seconds[:n]))
    drawn = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))
    low, high = np.quantile(logs[drawn].mean(axis=1), [0.025, 0.975]) - logs.mean()
    speedup = baseline.seconds / promoted.seconds
    return speedup, speedup * math.exp(low), speedup * math.exp(high)


def max_loss_gap(baseline: Track, promoted: Track) -> float | None:
    """Largest difference of the losses at one step, over the steps that both sides made; None where there is none."""
    pairs = list(zip(baseline.losses, promoted.losses, strict=False))
    gaps = [0.0 if _same(a, b) else abs(a - b) for a, b in pairs]
    return None if not gaps or not all(math.isfinite(gap) for gap in gaps) else max(gaps)


def bpb_gap(baseline: Track, promoted: Track) -> float | None:
    """Difference of the bits per byte at the last evaluation that both sides made; None where there is none."""
    pairs = list(zip(baseline.evaluations, promoted.evaluations, strict=False))
    gap = abs(pairs[-1][0][2] - pairs[-1][1][2]) if pairs else math.nan
    return gap if math.isfinite(gap) else None


def compare_tracks(baseline: Track, promoted: Track, band: Mapping[str, float] | None) -> str:
    """ "bitwise", "within-noise" or "different", over the steps and evaluations that both sides made."""
    bpbs = [(a[2], b[2]) for a, b in zip(baseline.evaluations, promoted.evaluations, strict=False)]
    losses = list(zip(baseline.losses, promoted.losses, strict=False))
    if losses and all(_same(a, b) for a, b in (*losses, *bpbs)):
        return "bitwise"
    gap, last = max_loss_gap(baseline, promoted), bpb_gap(baseline, promoted)
    if band is None or gap is None or last is None:
        return "different"
    return "within-noise" if gap <= band["max_loss_gap"] and last <= band["bpb_gap"] else "different"


def _void_reason(
    target_bpb: float | None, baseline: Track, promoted: Track, launches: Mapping[str, Mapping[str, int]]
) -> str | None:
    idle = sorted(entry for entry, counts in launches.items() if not any(counts.values()))
    if not launches:
        return "the promoted side has no kernel"
    if idle:
        return f"never launched: {', '.join(idle)}"
    if not _has_reached(baseline, target_bpb):
        return f"baseline did not reach {target_bpb} in {baseline.steps} steps"
    pairs = min(len(baseline.chunk_seconds), len(promoted.chunk_seconds))
    if pairs < LEAST_PAIRS:
        return f"{pairs} paired chunks are too few for an interval: use smaller chunks"
    return None


def _has_reached(track: Track, target_bpb: float | None) -> bool:
    return target_bpb is None or (track.val_bpb is not None and track.val_bpb <= target_bpb)


def _side(track: Track) -> Side:
    rate = track.tokens / track.seconds if track.seconds > 0 else None
    return Side(track.seconds, track.steps, track.tokens, rate, track.val_bpb, track.peak_bytes)


def _curve(track: Track) -> dict[str, Any]:
    return {
        "loss": list(track.losses),
        "step_seconds": list(track.step_seconds),
        "bpb": [list(evaluation) for evaluation in track.evaluations],
    }


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
