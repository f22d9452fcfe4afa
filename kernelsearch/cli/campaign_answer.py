"""What a campaign came to, as JSON: by target, and in all."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelsearch.cli.campaign_step import seed_kernels
from kernelsearch.cli.kernels import spans_of
from kernelsearch.cli.workplace import Workplace
from kernelsearch.search import CampaignResult
from kernelsearch.search.standing import in_use
from kernelsearch.spec import TargetFolder

if TYPE_CHECKING:
    from kernelsearch.cli.campaign import Request


def summarise(
    request: "Request",
    place: Workplace,
    folders: Sequence[TargetFolder],
    result: CampaignResult,
    shares: Mapping[str, Any],
) -> dict[str, Any]:
    """What the command prints as JSON, less what is measured afterwards."""
    seeds = seed_kernels(place, request.config, request.dtype)
    targets = {}
    for standing in sorted(result.standings, key=lambda s: -s.eager_us):
        name = standing.target
        kept = result.kept.get(name)
        saved_us = 0.0 if kept is None else standing.eager_us * (1 - 1 / kept["low"])
        targets[name] = {
            "share": shares["targets"][name]["share"],
            "eager_us": standing.eager_us,
            "current_us": round(standing.eager_us - saved_us, 1),
            "light_us": round(standing.light_us, 1),
            "seeds": seeds[name].low if name in seeds else None,
            "kept": None if kept is None else dict(kept),
            "is_settled": name in result.kept,
            "trials": standing.trials,
            "visits": standing.visits,
            "seconds": round(standing.seconds, 1),
            "seconds_per_us": round(standing.seconds / saved_us, 4) if saved_us > 0 else None,
            "failures": standing.failures,
        }
    return {
        "config": request.config,
        "dtype": request.dtype,
        "proposer": request.proposer,
        "device": shares["device"],
        "budget": request.budget,
        "from_seeds": request.from_seeds,
        "campaign": result.campaign,
        "reason": result.reason,
        "is_resumed": result.is_resumed,
        "seconds": round(result.seconds, 1),
        "step_us": shares["step_us"],
        "cost": _cost(folders, result),
        "targets": targets,
    }


def _cost(folders: Sequence[TargetFolder], result: CampaignResult) -> dict[str, Any]:
    """What all of it took, and what each microsecond of a step came to that the kernels kept save for certain.

    Of a span and its parts only the side in use counts. Money is None where a model's price is not known.
    """
    used = in_use(result.standings, spans_of(folders))
    kept = [(standing.eager_us, result.kept.get(standing.target)) for standing in used]
    saved_us = sum(us * (1 - 1 / kernel["low"]) for us, kernel in kept if kernel is not None)
    costs = [spent["cost"] for spent in result.spending.values()]
    usd = None if any(cost is None for cost in costs) else float(sum(costs))
    return {
        "seconds": round(result.seconds, 1),
        "usd": usd,
        "calls": sum(spent["calls"] for spent in result.spending.values()),
        "saved_us": round(saved_us, 1),
        "seconds_per_us": round(result.seconds / saved_us, 5) if saved_us > 0 else None,
        "usd_per_us": usd / saved_us if usd is not None and saved_us > 0 else None,
    }
