"""Writes the README's results between its two markers from the JSON in bench/results/.

python scripts/readme_tables.py          rewrite
python scripts/readme_tables.py --check  status 1 if the README does not say what the files say
"""

import json
import sys
from pathlib import Path
from typing import Any

from kernelsearch.report.scorecard import write_scorecard

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "bench" / "results"
STEPS = ("step-tiny", "step-d4", "step-d4-32k", "step-d4-stock-malloc")
USUAL_STEPS, USUAL_SECONDS = 40, 3.0
UPSTREAM = ("upstream-d4", "upstream-d4-compile")
BEGIN, END = "<!-- results: begin (generated, do not edit) -->", "<!-- results: end -->"


def newest(device: Path, name: str) -> dict[str, Any] | None:
    """The latest `DATE-name.json` of a device, with its date and file."""
    files = sorted(device.glob(f"*-{name}.json"))
    if not files:
        return None
    found: dict[str, Any] = json.loads(files[-1].read_text())
    return {**found, "date": files[-1].name.removesuffix(f"-{name}.json"), "file": files[-1]}


def kernels_table(bench: dict[str, Any]) -> list[str]:
    flag = " --compile" if any("compile" in row["vs"] for row in bench["results"]) else ""
    seconds = f" --seconds {bench['seconds']:g}" if bench["seconds"] != USUAL_SECONDS else ""
    lines = [
        (
            f"Kernels as training calls them, {bench['device']}, {bench['threads']} threads, {bench['date']} "
            f"(`kernelsearch bench{flag}{seconds}`, [all figures]("
            f"{bench['file'].relative_to(ROOT)})); ratios with their 95% intervals:"
        ),
        "",
        "| target | workload | dtype | pass | us | against eager | strongest other rival | of speed of light |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in bench["results"]:
        if row["kernel"] is None:
            continue
        others = {name: v for name, v in row["vs"].items() if name != "eager"}
        strongest = min(others, key=lambda name: others[name]["speedup"], default=None)
        rival = f"{strongest} {ratio(others[strongest])}" if strongest else "-"
        lines.append(
            f"| {row['target']} | {row['workload']} | {row['dtype']} | {row['pass']} | {row['us']['kernel']:.0f} "
            f"| {ratio(row['vs']['eager'])} | {rival} | {row['speed_of_light']:.0%} |"
        )
    if not flag:
        lines += ["", "torch.compile was not measured in this run (`kernelsearch bench --compile` does)."]
    lost = [r for r in bench["results"] if r["kernel"] and any(v["low"] < 1.0 for v in r["vs"].values())]
    if lost:
        names = sorted({f"{r['workload']} ({r['pass']})" for r in lost})
        lines += ["", f"Not ahead of every rival: {', '.join(names)}."]
    return [*lines, ""]


def studies_table(studies: list[dict[str, Any]]) -> list[str]:
    """What each search added to its seeds, beside random search over the same space with as many trials."""
    lines = [
        (
            f"What search found (`kernelsearch optimize TARGET --proposer evolve`, {studies[0]['date']}, with "
            "`--workload d4` or `d4-32k` where the row says so; lower ends of 95% intervals over eager PyTorch alone; "
            "the last column is the winner judged again from scratch):"
        ),
        "",
        "| target, shapes | trials | s | best seed as given | evolve | random, as many | winner, judged again |",
        "|---|---|---|---|---|---|---|",
    ]
    for study in studies:
        count = min(p["trials"] for p in study["proposers"])
        reached = {p["proposer"]: [low for n, low in p["improvements"] if n <= count] for p in study["proposers"]}
        seed = max((low for low in study["seeds"].values() if low is not None), default=None)
        evolve, chance = (reached.get(name, [])[-1:] for name in ("evolve", "random"))
        lows = [f"{low:.2f}x" if low else "-" for low in (seed, *(evolve or [None]), *(chance or [None]))]
        found = ratio(study["best"]) if study["stored"] else "none accepted"
        lines.append(f"| {study['name']} | {study['trials']} | {study['seconds']:.0f} | {' | '.join(lows)} | {found} |")
    return [*lines, ""]


def race_table(race: dict[str, Any]) -> list[str]:
    baseline, promoted = race["baseline"], race["promoted"]
    rows = [
        f"| {name} | {side['seconds']:.1f} | {side['steps']} | {side['tokens_per_second']:.0f} "
        f"| {side['val_bpb']:.4f} |"
        for name, side in (("eager PyTorch", baseline), ("with the kernels", promoted))
    ]
    return [
        (
            f"`kernelsearch race --config {race['config']}` to {race['target_bpb']} bits per byte, same machine "
            f"([curves]({race['file'].relative_to(ROOT)})): **{race['speedup']:.2f}x** "
            f"[{race['low']:.2f}, {race['high']:.2f}] sooner, losses {race['equality']} "
            f"(largest gap {race['max_loss_gap']:.4f}; how the band was set is in bench/LOG.md)."
        ),
        "",
        "| side | seconds to target | steps | tokens/s | bits per byte |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def step_table(step: dict[str, Any]) -> list[str]:
    flag, memory = "", "under one malloc setting for all"
    if any(mode["name"].startswith("compile") for mode in step["modes"]):
        flag = " --compile"
    if not step["keeps_memory"]:
        flag, memory = f"{flag} --no-keep-memory", "under the system's own malloc settings"
    flag += f" --steps {step['steps']}" if step["steps"] != USUAL_STEPS else ""
    rows = [
        f"| {mode['name']} | {1e3 * mode['step_s']:.0f} | {mode['tokens_per_second']:.0f} | {ratio(mode)} "
        f"| {mode['peak_bytes'] / 2**20:.0f} |"
        for mode in step["modes"]
    ]
    return [
        (
            f"A training step of {step['config']}, {step['dtype']}, {memory} (`kernelsearch bench --config "
            f"{step['config']}{flag}`, {step['date']}, [all figures]({step['file'].relative_to(ROOT)})); fastest here: "
            f"**{step['fastest']}**."
        ),
        "",
        "| mode | ms a step | tokens/s | against eager | peak memory, MiB |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def upstream_lines(runs: dict[str, Any]) -> list[str]:
    compiled = "under torch.compile" if runs["compiled"] else "eager"
    pairs = [run for run in runs["runs"] if run["mode"] == "kernels"]
    flags = f"--rounds {len(pairs)} --steps {len(pairs[0]['ms'])}{' --compile' if runs['compiled'] else ''}"
    band = ", ".join(f"{gap:.2g} ({mode})" for mode, gap in runs["band_gaps"].items())
    return [
        (
            f"An unmodified nanochat checkout, {compiled} (`python bench/upstream_steps.py --repo DIR {flags} -- "
            f"{' '.join(runs['arguments'])}`, {runs['date']}, [all steps]({runs['file'].relative_to(ROOT)})): "
            f"**{ratio(runs)}** in tokens per second. "
            f"Largest gap of losses to upstream's own: identity patches {runs['identity_gap']:g}, our kernels "
            f"{runs['kernels_gap']:.2g}, upstream itself {band}."
        ),
        "",
    ]


def scorecard_lines(card: dict[str, Any]) -> list[str]:
    """The judge's error rates; the whole document is linked."""
    head = (
        f"The judge, judged by `kernelsearch scorecard` ({card['environment']['cpu']}, "
        f"{card['environment']['threads']} threads, {card['date']}, judge {card['environment']['harness'][:12]}, "
        f"[all figures]({card['file'].relative_to(ROOT)})):"
    )
    return [head, "", *write_scorecard(card), ""]


def ratio(value: dict[str, float]) -> str:
    return f"{value['speedup']:.2f}x [{value['low']:.2f}, {value['high']:.2f}]"


def render() -> str:
    lines: list[str] = []
    for device in sorted(path for path in RESULTS.iterdir() if path.is_dir()):
        race, bench = newest(device, "race-tiny"), newest(device, "bench-tiny")
        lines += race_table(race) if race else []
        for name in STEPS:
            step = newest(device, name)
            lines += step_table(step) if step else []
        for name in UPSTREAM:
            runs = newest(device, name)
            lines += upstream_lines(runs) if runs else []
        lines += kernels_table(bench) if bench else []
        names = {file.name.split("-optimize-")[1].removesuffix(".json") for file in device.glob("*-optimize-*.json")}
        found = [(name, newest(device, f"optimize-{name}")) for name in sorted(names)]
        studies = [{**study, "name": name} for name, study in found if study is not None]
        lines += studies_table(studies) if studies else []
        card = newest(device, "scorecard")
        lines += scorecard_lines(card) if card else []
    return "\n".join(lines)


def main() -> int:
    text = README.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    wanted = f"{head}{BEGIN}\n\n{render()}\n{END}{tail}"
    if "--check" in sys.argv[1:]:
        return int(text != wanted)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
