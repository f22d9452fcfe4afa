"""From paired samples to an interval and a decision.

Ratios of paired, interleaved windows are the only thing compared: medians taken one after the other differ by 30% on a
shared machine between two runs of the same program. A gain counts only above what the A/A control of the same rounds
shows that this machine cannot tell apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, exp, expm1, log

import numpy as np

RESAMPLES = 4000
MINIMUM_EFFECT = 0.01
SIGN_TEST_P = 0.001
WORST_WORKLOAD = 0.98


@dataclass(frozen=True)
class Samples:
    """Seconds per call, one row a round: the candidate once, the baseline twice (the second is the A/A control).

    `disturbed` is the share of all rounds in which somebody waited for a core; they are left out if enough others were
    found, which `is_quiet` says.
    """

    candidate: tuple[float, ...]
    baseline: tuple[float, ...]
    control: tuple[float, ...]
    disturbed: float = 0.0
    is_quiet: bool = True

    def log_ratios(self) -> np.ndarray:
        """ln(baseline / candidate) of each round, the baseline being the geometric mean of its two windows."""
        return 0.5 * (np.log(self.baseline) + np.log(self.control)) - np.log(self.candidate)

    def control_log_ratios(self) -> np.ndarray:
        return np.asarray(np.log(self.baseline) - np.log(self.control))


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% bootstrap interval."""

    value: float
    low: float
    high: float


def speedup_interval(samples: Samples, rng: np.random.Generator) -> Interval:
    """Median speed-up of the candidate over the baseline."""
    medians = bootstrap_medians(samples.log_ratios(), rng)
    low, high = np.quantile(medians, (0.025, 0.975))
    return Interval(exp(float(np.median(samples.log_ratios()))), exp(float(low)), exp(float(high)))


def noise(samples: Samples, rng: np.random.Generator) -> float:
    """The relative difference up to which identical programs cannot be told apart in these rounds."""
    low, high = np.quantile(bootstrap_medians(samples.control_log_ratios(), rng), (0.025, 0.975))
    return float(expm1(max(abs(low), abs(high))))


def weighted_speedup(
    samples: Sequence[Samples], baseline_us: Sequence[float], calls: Sequence[float], rng: np.random.Generator
) -> Interval:
    """Speed-up of all workloads together, each weighted by its calls in a training step and its baseline latency."""
    weights = np.asarray(baseline_us) * np.asarray(calls)
    values = np.array([float(np.median(s.log_ratios())) for s in samples])
    drawn = np.stack([bootstrap_medians(s.log_ratios(), rng) for s in samples])
    together = weights.sum() / (weights[:, None] * np.exp(-drawn)).sum(axis=0)
    low, high = np.quantile(together, (0.025, 0.975))
    return Interval(float(weights.sum() / (weights * np.exp(-values)).sum()), float(low), float(high))


def is_faster(interval: Interval, samples: Sequence[Samples], noise_floor: float) -> bool:
    """Whether the gain is real: interval above the noise, more rounds won than chance gives, no workload hurt.

    Never on a machine too busy to tell.
    """
    if not all(s.is_quiet for s in samples):
        return False
    threshold = 1.0 + max(MINIMUM_EFFECT, noise_floor)
    ratios = np.concatenate([s.log_ratios() for s in samples])
    worst = min(exp(float(np.median(s.log_ratios()))) for s in samples)
    won = int((ratios > 0).sum())
    return interval.low > threshold and sign_test(won, len(ratios)) < SIGN_TEST_P and worst >= WORST_WORKLOAD


def sign_test(won: int, rounds: int) -> float:
    """Probability of winning at least this many rounds if both programs were the same."""
    return float(sum(comb(rounds, k) for k in range(won, rounds + 1)) / 2**rounds)


def bootstrap_medians(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    picked = rng.integers(0, len(values), size=(RESAMPLES, len(values)))
    return np.asarray(np.median(values[picked], axis=1))


def geometric_mean(values: Sequence[float]) -> float:
    return exp(sum(log(v) for v in values) / len(values))
