"""Everything that has to be shown on a GPU, in parts that each have a time limit; called by scripts/gpu_evidence.sh.

    python bench/gpu_evidence.py [--parts tests,judge,bench,study,race,sanitizer] [--targets a,b] [--dtype bfloat16]
    python bench/gpu_evidence.py --plan      what it would do, and what this machine lacks for it; needs no GPU

Parts share `--seconds` by LIMITS_S: a part asked for alone has the time of all. After every single answer the results
file and its table are written anew, so that a run that is killed leaves all it knew:
bench/results/<device>/<date>-<commit>.json and .md. Losses and failures are in them like everything else.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.gpu_table import as_markdown

ROOT = Path(__file__).resolve().parent.parent
# Together below nine minutes.
LIMITS_S = {"tests": 100, "judge": 150, "bench": 110, "study": 60, "race": 70, "sanitizer": 40}
SILENCE_S = 45.0  # a workload and its rivals, compiled before, take a few seconds
NO_GPU = "kernelsearch: no GPU: torch sees no CUDA device here, and this script measures nothing else"
CLI = "from kernelsearch.cli import main; main()"
SMI = "clocks.sm,clocks.mem,temperature.gpu,power.draw,clocks_event_reasons.active"


@dataclass
class Evidence:
    """What is known so far; `save` puts it on disk whole or not at all."""

    path: Path
    document: dict[str, Any] = field(default_factory=dict)

    def add(self, part: str, row: dict[str, Any]) -> None:
        self.document.setdefault(part, []).append(row)
        self.save()

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for path, text in (
            (self.path, json.dumps(self.document, indent=1) + "\n"),
            (self.path.with_suffix(".md"), as_markdown(self.document)),
        ):
            scratch = path.with_suffix(path.suffix + ".new")
            scratch.write_text(text)
            os.replace(scratch, path)


def run(
    command: list[str],
    timeout_s: float,
    *,
    sharers: int = 1,
    silence_s: float = float("inf"),
    on_line: Callable[[str], None] | None = None,
) -> tuple[int | None, str, str]:
    """Exit status (None if it was stopped at its limit), output, errors; nothing of it runs on afterwards.

    `sharers` are commands that run at once and share the cores; `on_line` hears every line of output as it comes, and
    one that says nothing for `silence_s` is stopped too.
    """
    cores = max(1, len(os.sched_getaffinity(0)) // sharers)
    shared = {"OMP_NUM_THREADS": str(cores), "TORCHINDUCTOR_COMPILE_THREADS": str(cores)} if sharers > 1 else {}
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | shared
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        stopped, ended = threading.Event(), threading.Event()
        until = time.monotonic() + max(1.0, timeout_s)
        heard = [time.monotonic()]

        def watch() -> None:
            while not ended.wait(0.1):
                if time.monotonic() > min(until, heard[0] + silence_s):
                    stopped.set()
                    os.killpg(process.pid, signal.SIGKILL)
                    return

        threading.Thread(target=watch, daemon=True).start()
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            heard[0] = time.monotonic()
            lines.append(line)
            if on_line is not None:
                on_line(line)
        status: int | None = process.wait()
        ended.set()
        errors.seek(0)
        return None if stopped.is_set() else status, "".join(lines), errors.read()


def last_json(text: str) -> Any:
    """The JSON document at the end of an output; None where there is none."""
    start = text.find("{")
    try:
        return json.loads(text[start:]) if start >= 0 else None
    except json.JSONDecodeError:
        return None


def seeds(targets: list[str]) -> Iterator[tuple[str, str, str]]:
    """(target, seed, language), the targets in the order given, or of the library."""
    from kernelsearch.spec import TargetFolder, library_path, target_names

    for name in targets or target_names(library_path()):
        for language in ("triton", "cuda"):
            for seed in TargetFolder(library_path() / name).seeds(language):
                yield name, seed, language


def part_tests(evidence: Evidence, asked: argparse.Namespace, until: float) -> None:
    """The tests marked gpu."""
    command = [sys.executable, "-m", "pytest", "tests/sandbox/test_gpu.py", "-m", "gpu", "-v", "-p", "no:xdist"]
    status, out, err = run([*command, "-o", "addopts=--import-mode=importlib"], until - time.monotonic())
    summary = (out.strip().splitlines() or ["no output"])[-1] if status is not None else "stopped at its time limit"
    evidence.add("tests", {"status": status, "summary": summary, "output": (out + err)[-4000:]})


def part_judge(evidence: Evidence, asked: argparse.Namespace, until: float) -> None:
    """Every seed through the gates, several at once; then each that passed is timed, one after the other."""
    proven = []
    with ThreadPoolExecutor(max_workers=asked.jobs) as pool:
        half = time.monotonic() + 0.6 * (until - time.monotonic())
        jobs = {pool.submit(judge, asked, *s, half, ["--no-timing"]): s for s in seeds(asked.targets)}
        for job in as_completed(jobs):
            row = job.result()
            evidence.add("judge", row)
            if row["status"] == "PASSED":
                proven.append(row)
    for row in proven:
        timed = judge(asked, row["target"], row["seed"], row["language"], until, ["--only-timing"])
        for name in ("speedup", "low", "high", "detail", "measurements"):
            row[name] = timed.get(name)
        row["timed"] = timed["status"]
        row["faster"] = timed["status"] == "PASSED" and bool(timed.get("low") and timed["low"] > 1.01)
        evidence.save()


def judge(
    asked: argparse.Namespace, target: str, seed: str, language: str, until: float, options: list[str]
) -> dict[str, Any]:
    named = {"target": target, "seed": seed, "language": language, "dtype": asked.dtype}
    left = until - time.monotonic()
    if left < 5:
        return {**named, "status": "NOT RUN", "detail": "no time was left"}
    command = [sys.executable, "bench/gpu_judge.py", target, seed, "--language", language, "--dtype", asked.dtype]
    cache = Path(os.environ.get("KERNELSEARCH_HOME", ROOT / ".kernelsearch-gpu")) / "cache"
    sharers = 1 if "--only-timing" in options else asked.jobs
    status, out, err = run([*command, "--place", asked.place, "--cache", str(cache), *options], left, sharers=sharers)
    found = last_json(out)
    if found is None:
        detail = "stopped at its time limit" if status is None else f"exit status {status}: {err[-300:]}"
        return {**named, "status": "NOT RUN", "detail": detail}
    return {**found, **named}


def part_bench(evidence: Evidence, asked: argparse.Namespace, until: float) -> None:
    """Every seed against its rivals: all are compiled first, several at once, then timed in one process.

    One that breaks the device ends that process; the next one goes on behind it.
    """
    waiting = ["/".join(seed) for seed in seeds(asked.targets)]
    command = [sys.executable, "bench/gpu_rivals.py", "--dtype", asked.dtype]
    command += ["--place", asked.place, "--group", asked.group]
    with ThreadPoolExecutor(max_workers=asked.jobs) as pool:
        share = 0.45 * (until - time.monotonic())
        for part in (waiting[index :: asked.jobs] for index in range(asked.jobs)):
            if part:
                pool.submit(run, [*command, "--warm", *part], share, sharers=asked.jobs)
    while waiting:
        left = until - time.monotonic()
        if left < 5:
            for name in waiting:
                evidence.add("bench", named_seed(name) | {"error": "no time was left"})
            return
        begun: list[str] = []
        before = [clocks()]

        def hear(line: str, begun: list[str] = begun, before: list[str] = before) -> None:
            row = last_json(line)
            if row is None:
                return
            if "begun" in row:
                begun.append(row["begun"])
                before[0] = clocks()
            else:
                evidence.add("bench", row | {"clocks": [before[0], clocks()]})

        status, _, err = run([*command, *waiting], left, silence_s=SILENCE_S, on_line=hear)
        if status == 0:
            return
        broken = begun[-1] if begun else waiting[0]
        evidence.add("bench", named_seed(broken) | {"error": err[-600:] or "stopped at its time limit"})
        waiting = waiting[waiting.index(broken) + 1 :]


def named_seed(name: str) -> dict[str, Any]:
    return dict(zip(("target", "seed", "language"), name.split("/"), strict=True))


def part_study(evidence: Evidence, asked: argparse.Namespace, until: float) -> None:
    """A short search on the first targets, as long as time is left."""
    targets = list(dict.fromkeys(target for target, _, language in seeds(asked.targets) if language == "triton"))
    for target in targets[:2]:
        left = until - time.monotonic()
        if left < 20:
            return
        command = [sys.executable, "-c", CLI, "optimize", target, "--language", "triton", "--json"]
        budget = f"{int(max(5, min(left, 40) / 2))}s"
        status, out, err = run(
            [*command, "--dtype", "bf16", "--workload", asked.group, "--budget", budget], min(left, 60)
        )
        found = last_json(out) or {"error": err[-600:] or f"exit status {status}"}
        best = found.get("best") or {}
        evidence.add("study", {**found, "target": target, "best": best.get("detail") and f"{best.get('low')}"})


def part_race(evidence: Evidence, asked: argparse.Namespace, until: float) -> None:
    """Training steps in four modes, with what a study kept in this run's state folder; then a race, if time is left."""
    dtype = {"bfloat16": "bf16", "float32": "fp32"}[asked.dtype]
    where = ["--device", asked.place, "--dtype", dtype, "--compile", "--json"]
    for name, options in (("bench", ["--steps", "20"]), ("race", ["--steps", "120"])):
        left = until - time.monotonic()
        if left < 10:
            return
        status, out, err = run([sys.executable, "-c", CLI, name, "--config", asked.config, *options, *where], left)
        found = last_json(out)
        if name == "bench":
            modes = [f"{m['name']} {m['tokens_per_second']:.0f} tokens/s" for m in (found or {}).get("modes", ())]
            summary = ", ".join(modes)
        else:
            summary = str({k: (found or {}).get(k) for k in ("speedup", "low", "high", "equality", "reason")})
        if not found:
            summary = "stopped at its time limit" if status is None else (err.strip().splitlines() or ["no output"])[-1]
        row = {"config": asked.config, "command": name, "status": status, "summary": summary, "found": found}
        evidence.add("race", {**row, "seconds": left - (until - time.monotonic())})


def part_sanitizer(evidence: Evidence, asked: argparse.Namespace, until: float) -> None:
    """The smallest shapes of as many seeds as there is time for, under compute-sanitizer, several at once."""
    if shutil.which("compute-sanitizer") is None:
        evidence.add("sanitizer", {"target": "-", "seed": "-", "status": "compute-sanitizer is not installed here"})
        return
    with ThreadPoolExecutor(max_workers=asked.jobs) as pool:
        jobs = [pool.submit(judge, asked, *s, until, ["--only-sanitizer"]) for s in seeds(asked.targets)]
        for job in as_completed(jobs):
            evidence.add("sanitizer", job.result())


def clocks() -> str:
    """Clocks, temperature, power and what throttles, as nvidia-smi says; empty where it is missing."""
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--query-gpu={SMI}", "--format=csv,noheader"], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip().splitlines()[0] if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return ""


def commit() -> str:
    try:
        done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def describe_device(place: str) -> dict[str, Any]:
    import torch

    if place == "cuda" and not torch.cuda.is_available():
        sys.exit(NO_GPU)
    name = torch.cuda.get_device_name() if place == "cuda" else "stand-in on the CPU"
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0]}
    try:
        import triton

        versions["triton"] = triton.__version__
    except ImportError:
        pass
    return {"name": name, "versions": versions, "clocks": clocks()}


PARTS = {
    "tests": part_tests,
    "judge": part_judge,
    "bench": part_bench,
    "study": part_study,
    "race": part_race,
    "sanitizer": part_sanitizer,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--targets", default="", help="names, most important first; default all")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--group", default="d12", help="workloads to time")
    parser.add_argument("--place", default="cuda", choices=("cuda", "cpu"), help="cpu: the stand-in, to try the script")
    parser.add_argument("--jobs", type=int, default=max(1, min(6, (os.cpu_count() or 2) // 2)))
    parser.add_argument("--config", default="d6", help="what the race trains")
    parser.add_argument("--seconds", type=float, default=float(sum(LIMITS_S.values())), help="for all parts together")
    parser.add_argument("--commit", default="", help="where the checkout has no git folder")
    parser.add_argument("--plan", action="store_true", help="say what would be done, check what can be, do nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    asked = parser.parse_args()
    asked.targets = [name for name in asked.targets.split(",") if name]
    wanted = asked.parts.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--parts={','.join(sorted(unknown))}: known are {', '.join(PARTS)}")
    limits = {name: asked.seconds * LIMITS_S[name] / sum(LIMITS_S[n] for n in wanted) for name in wanted}
    if asked.plan:
        from bench.gpu_plan import plan

        steps = {name: f"at most {limits[name]:.0f} s. {PARTS[name].__doc__}" for name in wanted}
        sys.exit(plan(asked, steps, list(seeds(asked.targets))))
    if asked.place == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    device = describe_device(asked.place)
    folder = re.sub(r"[^a-z0-9]+", "-", device["name"].lower()).strip("-")
    today = datetime.now(UTC).date().isoformat()
    named = asked.commit or commit()
    evidence = Evidence(asked.out / folder / f"{today}-{named}.json")
    evidence.document = {"device": device, "date": today, "commit": named, "command": sys.argv[1:]}
    evidence.save()
    for name in wanted:
        started = time.monotonic()
        try:
            PARTS[name](evidence, asked, started + limits[name])
        except Exception as error:  # a part that breaks must not cost the others
            evidence.add("failures", {"part": name, "error": f"{type(error).__name__}: {error}"[:600]})
        sys.stderr.write(f"{name}: {time.monotonic() - started:.0f} s\n")
    sys.stdout.write(as_markdown(evidence.document))
    sys.stderr.write(f"written: {evidence.path}\n")


if __name__ == "__main__":
    main()
