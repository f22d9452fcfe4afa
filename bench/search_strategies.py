"""Search strategies on recorded spaces: how near the best point they come with a budget of evaluations.

    python bench/search_strategies.py [--evaluations 40] [--seeds 30] [--json FILE]

Each file of bench/spaces holds the measured times of every function of every seed at every binding, and so the speedup
of every point of a space of seeds and grafts (bench/record_space.py). A strategy is told what was recorded: nothing is
timed here, and the table is the same on any machine. Figures are optimum / best found, 1.000 is the optimum: the mean
over seeds of the strategy, and how many of them found the optimum.

Proposers of ours start from the seeds as they are written, as a study does; "from nowhere" they are given another
default for each seed, drawn at random, so that they know no more than a strategy that sees a list of values.
Strategies of Kernel Tuner (van Werkhoven 2019, https://doi.org/10.1016/j.future.2018.08.004) are run too where that
package is installed, in its simulation mode on the same points: a parameter for each function's supplier, and one for
each tunable.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import io
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean, median
from typing import Any

from kernelsearch.search import EvolveProposer, Proposer, RandomProposer, SurrogateProposer, SweepProposer, Trial
from kernelsearch.search.graft import Template, templates
from kernelsearch.search.space import Space
from kernelsearch.spec import Candidate, Entry, Status, Target, TensorSpec, Verdict, read_candidate

FOLDER = Path(__file__).parent / "spaces"
# All of 1.5.0 that need no further package, except brute_force and minimize (which is not for discrete spaces).
KERNEL_TUNER = (
    "random_sample",
    "genetic_algorithm",
    "greedy_ils",
    "greedy_mls",
    "ordered_greedy_mls",
    "mls",
    "simulated_annealing",
    "dual_annealing",
    "basinhopping",
    "pso",
    "firefly_algorithm",
    "diff_evo",
    "hybrid_vndx",
    "adaptive_tabu_greywolf",
    "bayes_opt",
)


@dataclass(frozen=True)
class Recorded:
    """A recorded space, rebuilt on stand-in sources that declare what the real ones declare."""

    name: str
    document: Mapping[str, Any]

    @cached_property
    def target(self) -> Target:
        names = dict.fromkeys(function.rpartition("_")[0] for function in self.document["functions"])
        with_backward = {f.rpartition("_")[0] for f in self.document["functions"] if f.endswith("_backward")}
        x = TensorSpec("x", ())
        return Target(
            self.document["target"],
            "",
            tuple(
                Entry(n, (), (x,), (), lambda s, p: 0.0, gradients=("x",) if n in with_backward else ()) for n in names
            ),
            {},
        )

    @cached_property
    def seeds(self) -> list[Candidate]:
        return [read_candidate(self.target.name, "cpp", self._source(stem), stem) for stem in self.document["seeds"]]

    @cached_property
    def templates(self) -> list[Template]:
        return templates(self.target, self.seeds)

    @cached_property
    def speedups(self) -> dict[str, float]:
        """By digest: the baseline's time over the sum of the point's functions, each as its source was timed."""
        space, stems = Space([t.candidate for t in self.templates]), list(self.document["seeds"])
        found = {}
        for index in range(len(space)):
            point = space.at(index)
            template, candidate = self.templates[point[0]], space.candidate(point)
            own: dict[int, dict[str, Any]] = {part: {} for part in template.parts}
            for name, (part, name_there) in template.names.items():
                own[part][name_there] = candidate.tunables[name]
            times = {part: self._timed(stems[part], bound) for part, bound in own.items()}
            suppliers = zip(self.document["functions"], template.parts, strict=True)
            us = sum(times[part][function] for function, part in suppliers)
            found[candidate.digest] = self.baseline_us / us
        return found

    @cached_property
    def baseline_us(self) -> float:
        rows = list(self.document["baseline_us"].values())
        return sum(median(row[entry] for row in rows) for entry in rows[0])

    def _timed(self, stem: str, bound: Mapping[str, Any]) -> Mapping[str, float]:
        name = " ".join([stem, *(f"{name}={value}" for name, value in sorted(bound.items()))])
        return self.document["functions_us"][name]

    @property
    def optimum(self) -> float:
        return max(self.speedups.values())

    def judge(self, candidate: Candidate) -> Verdict:
        low = self.speedups[candidate.digest]
        return Verdict(self.target.name, candidate.digest, "cpp", "float32", Status.PASSED, "", 0.0, low=low)

    def _source(self, stem: str) -> str:
        document = self.document
        lines = [f"// tune: {n} in {' '.join(map(str, v))}" for n, v in document["seeds"][stem].items()]
        lines += [
            f"// saves {entry}: {name} float32" for entry, kept in document["saves"][stem].items() for name in kept
        ]
        uses = " ".join(document["seeds"][stem])
        return "\n".join([*lines, *(f'extern "C" void {f}(' for f in document["functions"]), f"{uses} // {stem}"])


def read_spaces() -> list[Recorded]:
    return [Recorded(path.stem, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]


Run = Callable[[Recorded, int, int], float]
MakeProposer = Callable[[Recorded, list[Candidate], int], Proposer]


def propose(make: MakeProposer, *, from_nowhere: bool) -> Run:
    """Best speedup that a proposer finds with so many evaluations."""

    def run(space: Recorded, seed: int, evaluations: int) -> float:
        rng = random.Random(1000 + seed)
        seeds = [_rebound(s, rng) for s in space.seeds] if from_nowhere else space.seeds
        proposer, trials = make(space, seeds, seed), list[Trial]()
        while len(trials) < evaluations and (candidate := proposer.ask(trials)) is not None:
            trials.append(Trial(candidate, space.judge(candidate), proposer.name, False))
            proposer.tell(trials[-1])
        return max(trial.score for trial in trials)

    return run


def _rebound(seed: Candidate, rng: random.Random) -> Candidate:
    space = Space([seed])
    return space.candidate(space.at(rng.randrange(len(space))))


def everything(space: Recorded, seeds: list[Candidate]) -> list[Candidate]:
    """Seeds and their grafts, for a proposer that does not graft by itself."""
    return [template.candidate for template in templates(space.target, seeds)]


OURS: dict[str, MakeProposer] = {
    "surrogate": lambda space, seeds, seed: SurrogateProposer(seeds, seed, space.target),
    "surrogate, no grafts": lambda space, seeds, seed: SurrogateProposer(seeds, seed),
    "evolve": lambda space, seeds, seed: EvolveProposer(seeds, seed, space.target),
    "evolve, no grafts": lambda space, seeds, seed: EvolveProposer(seeds, seed),
    "sweep": lambda space, seeds, seed: SweepProposer(seeds, seed),
    "sweep, with grafts": lambda space, seeds, seed: SweepProposer(everything(space, seeds), seed),
    "random, with grafts": lambda space, seeds, seed: RandomProposer(everything(space, seeds), seed),
    "random": lambda space, seeds, seed: RandomProposer(seeds, seed),
}


def strategies(folder: Path) -> Iterator[tuple[str, Run]]:
    for name, make in OURS.items():
        yield name, propose(make, from_nowhere=False)
    for name in ("evolve", "sweep, with grafts"):
        yield f"{name}, from nowhere", propose(OURS[name], from_nowhere=True)
    if importlib.util.find_spec("kernel_tuner") is not None:
        for name in KERNEL_TUNER:
            yield f"Kernel Tuner {name}", kernel_tuner_strategy(name, folder)


def kernel_tuner_strategy(strategy: str, folder: Path) -> Run:
    """The same question to one strategy of Kernel Tuner, which minimises time: 1 / speedup here."""
    import kernel_tuner  # type: ignore[import-not-found,unused-ignore]
    import numpy as np

    known: dict[str, tuple[dict[str, list[Any]], list[str]]] = {}

    def run(space: Recorded, seed: int, evaluations: int) -> float:
        path = folder / f"{space.name}.json"
        if space.name not in known:
            parameters, cache, restrictions = as_kernel_tuner(space)
            path.write_text(json.dumps(cache))
            known[space.name] = parameters, restrictions
        parameters, restrictions = known[space.name]
        random.seed(seed)
        np.random.seed(seed)
        with contextlib.redirect_stdout(io.StringIO()):
            results, _ = kernel_tuner.tune_kernel(
                space.name,
                "",
                1,
                [],
                parameters,
                restrictions=restrictions,
                lang="C",
                cache=str(path),
                simulation_mode=True,
                strategy=strategy,
                strategy_options={"max_fevals": evaluations},
                verbose=False,
                quiet=True,
            )
        return max((1 / r["time"] for r in results if isinstance(r["time"], float)), default=0.0)

    return run


def kernel_tuner_version() -> str | None:
    try:
        return importlib.metadata.version("kernel_tuner")
    except importlib.metadata.PackageNotFoundError:
        return None


def as_kernel_tuner(space: Recorded) -> tuple[dict[str, list[Any]], dict[str, Any], list[str]]:
    """Lists of values, a cache file's content, and restrictions: a tunable without a use keeps its default."""
    functions = space.document["functions"]
    tunables = {(i, n): values for i, s in enumerate(space.document["seeds"].values()) for n, values in s.items()}
    parameters: dict[str, list[Any]] = {function: list(range(len(space.seeds))) for function in functions}
    parameters |= {f"s{i}_{n}": list(values) for (i, n), values in tunables.items()}
    supplied = {i: " or ".join(f"{function} == {i}" for function in functions) for i, _ in tunables}
    restrictions = [f"{supplied[i]} or s{i}_{n} == {values[0]}" for (i, n), values in tunables.items()]
    suppliers = [zip(functions, template.parts, strict=True) for template in space.templates]
    restrictions.append(" or ".join("(" + " and ".join(f"{f} == {i}" for f, i in pairs) + ")" for pairs in suppliers))
    cache = {}
    every = Space([t.candidate for t in space.templates])
    for index in range(len(every)):
        point = every.at(index)
        template, candidate = space.templates[point[0]], every.candidate(point)
        bound: dict[str, Any] = dict(zip(functions, template.parts, strict=True))
        bound |= {f"s{i}_{n}": values[0] for (i, n), values in tunables.items()}
        bound |= {f"s{i}_{own}": candidate.tunables[name] for name, (i, own) in template.names.items()}
        key = ",".join(str(bound[name]) for name in parameters)
        cache[key] = {**bound, "time": 1 / space.speedups[candidate.digest]}
    document = {
        "device_name": "recorded",
        "kernel_name": space.name,
        "problem_size": 1,
        "tune_params_keys": list(parameters),
        "tune_params": parameters,
        "objective": "time",
        "cache": cache,
    }
    return parameters, document, restrictions


def compare(spaces: Sequence[Recorded], evaluations: int, seeds: int) -> dict[str, dict[str, dict[str, float]]]:
    """By strategy and space: mean of optimum / best found, and the share of seeds that found the optimum."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, run in strategies(Path(folder)):
            table[name] = {}
            for space in spaces:
                ratios = [space.optimum / run(space, seed, evaluations) for seed in range(seeds)]
                found = mean(ratio < 1 + 1e-9 for ratio in ratios)
                table[name][space.name] = {"ratio": round(mean(ratios), 4), "found": round(found, 3)}
    return table


def show(spaces: Sequence[Recorded], table: dict[str, dict[str, dict[str, float]]]) -> None:
    titles = [f"{space.name} ({len(space.speedups)})" for space in spaces]
    print(f"| {' | '.join(['optimum / best found (optimum found)', *titles])} |")
    print("|---" * (len(titles) + 1) + "|")
    for name, row in sorted(table.items(), key=lambda item: mean(f["ratio"] for f in item[1].values())):
        cells = [f"{row[space.name]['ratio']:.4f} ({row[space.name]['found']:.0%})" for space in spaces]
        print(f"| {' | '.join([name, *cells])} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the table here too")
    arguments = parser.parse_args()
    spaces = [space for space in read_spaces() if space.document["missing"] == 0]
    if small := [s.name for s in spaces if len(s.speedups) <= 2 * arguments.evaluations]:
        parser.error(f"--evaluations {arguments.evaluations}: half of {', '.join(small)} or more; nothing would differ")
    table = compare(spaces, arguments.evaluations, arguments.seeds)
    show(spaces, table)
    if arguments.json:
        about = {"evaluations": arguments.evaluations, "seeds": arguments.seeds, "kernel_tuner": kernel_tuner_version()}
        sizes = {space.name: len(space.speedups) for space in spaces}
        arguments.json.write_text(json.dumps({**about, "spaces": sizes, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
