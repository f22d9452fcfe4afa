"""Result files over dates, commits and machines as series of ratios with their intervals; devices are never mixed.

A folder of results has a folder for each device, with files `DATE-NAME.json` as the commands write them. Only ratios
to a baseline that was measured in the same run are kept: absolute times of two runs differ by more than most changes.
Two runs' ratios may differ by more than their intervals say, which cover one run only; `kernelsearch compare` decides.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kernelsearch.errors import UsageError
from kernelsearch.report.markdown import markdown_table
from kernelsearch.report.table import Table
from kernelsearch.report.text import count, format_interval

FILE = re.compile(r"(\d{4}-\d\d-\d\d)-([\w.-]+)\.json")
UNMOVED = "intervals overlap"
TITLES = ("what", "kind", "dtype", "threads", "runs", "first", "last", "trend")


@dataclass(frozen=True)
class Point:
    """One measured ratio; `commit` is where the file came to this content, None while it is not committed."""

    date: str
    commit: str | None
    ratio: float
    low: float
    high: float
    kernel: str | None


@dataclass(frozen=True)
class Series:
    """Ratios of one thing to its baseline on one device with one number of threads, oldest first."""

    device: str
    kind: str
    name: str
    dtype: str
    threads: int | None
    points: tuple[Point, ...]

    @property
    def trend(self) -> str:
        """Last against first, where their intervals say anything."""
        first, last = self.points[0], self.points[-1]
        if len(self.points) == 1:
            return "one run"
        if first.low <= last.high and last.low <= first.high:
            return UNMOVED
        return f"{last.ratio / first.ratio - 1:+.1%}"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "trend": self.trend}


@dataclass(frozen=True)
class Content:
    """A file as it once was."""

    device: str
    date: str
    name: str
    commit: str | None
    document: Mapping[str, Any]


def read_history(results: Path, *, from_git: bool) -> tuple[Series, ...]:
    """Every series of the files, their earlier contents included where git has them."""
    if not results.is_dir():
        raise UsageError(f"results={str(results)!r} is not a folder; name the one that has a folder for each device")
    found: dict[tuple[str, str, str, str, int | None], dict[Point, Point]] = {}
    for content in _contents(results, from_git=from_git):
        for kind, name, dtype, threads, ratio in _ratios(content):
            point = Point(content.date, content.commit, ratio["speedup"], ratio["low"], ratio["high"], ratio["kernel"])
            # A file that was written again with the same figures is the same run.
            points = found.setdefault((content.device, kind, name, dtype, threads), {})
            points.setdefault(replace(point, commit=None), point)
    # Contents come in the order of their commits, which stays among those of one day.
    dated = {key: tuple(sorted(points.values(), key=lambda p: p.date)) for key, points in found.items()}
    ordered = sorted(dated.items(), key=lambda item: (*item[0][:4], item[0][4] or 0))
    return tuple(Series(*key, points) for key, points in ordered)


def _contents(results: Path, *, from_git: bool) -> Iterator[Content]:
    seen: set[tuple[str, bytes]] = set()
    versions = _committed(results) if from_git else iter(())
    files = ((f"{file.parent.name}/{file.name}", None, file.read_bytes()) for file in sorted(results.glob("*/*.json")))
    for path, commit, data in (*versions, *files):
        device, _, file = path.rpartition("/")
        parts = FILE.fullmatch(file)
        if parts is None or "/" in device or (path, data) in seen:
            continue
        seen.add((path, data))
        try:
            document = json.loads(data)
        except ValueError:
            raise UsageError(f"{results / path}{f' of commit {commit[:10]}' if commit else ''}: not JSON") from None
        if isinstance(document, dict):
            yield Content(device, parts[1], parts[2], commit, document)


def _committed(results: Path) -> Iterator[tuple[str, str, bytes]]:
    """(path below `results`, commit, content) of every version, oldest first; nothing outside a repository."""
    log = ["log", "--reverse", "--format=%H", "--raw", "--no-abbrev", "--no-renames", "-z", "--relative", "--", "."]
    done = _git(results, *log)
    if done is None:
        return
    commit = ""
    fields = iter(done.decode(errors="surrogateescape").split("\0"))
    for field in fields:
        for line in field.strip("\n").split("\n"):
            if line.startswith(":"):
                blob, path = line.split(" ")[3], next(fields)
                content = _git(results, "cat-file", "blob", blob) if path.endswith(".json") else None
                if content is not None:
                    yield path, commit, content
            elif line:
                commit = line


def _git(folder: Path, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


Found = tuple[str, str, str, int | None, Mapping[str, Any]]


def _ratios(content: Content) -> Iterator[Found]:
    """What a document of this kind says; documents that hold no ratio say nothing."""
    for prefix, read in READERS.items():
        if content.name == prefix or content.name.startswith(f"{prefix}-"):
            for kind, name, dtype, threads, value in read(content):
                if all(isinstance(value.get(key), int | float) for key in ("speedup", "low", "high")):
                    yield kind, name, dtype, threads, {"kernel": None, **value}


def _bench(content: Content) -> Iterable[Found]:
    threads = content.document.get("threads")
    for row in content.document.get("results", ()):
        versus = row["vs"].get("eager")
        if versus:
            name = f"{row['workload']} {row['pass']}"
            yield "kernel", name, row["dtype"], threads, {**versus, "kernel": row["kernel"]}


def _step(content: Content) -> Iterable[Found]:
    document = content.document
    setting = content.name.removeprefix("step-")
    for mode in document.get("modes", ()):
        if mode["name"] != "eager":
            yield "step", f"{setting} {mode['name']}", document["dtype"], document.get("threads"), mode


def _race(content: Content) -> Iterable[Found]:
    yield "race", content.name.removeprefix("race-"), "-", None, content.document


def _optimize(content: Content) -> Iterable[Found]:
    best = content.document.get("best")
    if best:
        value = {key: best[key] for key in ("speedup", "low", "high")}
        name = content.name.removeprefix("optimize-")
        yield "search", name, best["dtype"], None, {**value, "kernel": best["digest"][:12]}


def _upstream(content: Content) -> Iterable[Found]:
    yield "upstream", content.name.removeprefix("upstream-"), "-", None, content.document


READERS: Mapping[str, Callable[[Content], Iterable[Found]]] = {
    "bench": _bench,
    "step": _step,
    "race": _race,
    "optimize": _optimize,
    "upstream": _upstream,
}


def write_history(series: Sequence[Series], compared: Table | None = None, *, every_point: bool = False) -> str:
    """Markdown: a section for each device, a row for each series, with `every_point` its runs; last `compared`."""
    parts = ["# History", NOTE]
    for device in dict.fromkeys(one.device for one in series):
        own = [one for one in series if one.device == device]
        parts += [f"## {device}", markdown_table(TITLES, [history_cells(one) for one in own])]
        if every_point:
            parts += [block for one in own for block in (f"### {one.kind}: {one.name}", _points(one))]
    if compared is not None:
        parts += [f"## {compared.caption}", markdown_table(compared.titles, compared.rows)]
    return "\n\n".join(parts) + "\n"


def history_cells(one: Series) -> tuple[str, ...]:
    first, last = one.points[0], one.points[-1]
    ends = [f"{p.date} {_short(p)}" for p in (first, last)]
    threads = "-" if one.threads is None else str(one.threads)
    return (one.name, one.kind, one.dtype, threads, str(len(one.points)), *ends, one.trend)


def _short(point: Point) -> str:
    return f"{point.ratio:.2f}x [{point.low:.2f}, {point.high:.2f}]"


def summarise_history(series: Sequence[Series]) -> str:
    devices = {one.device for one in series}
    return f"{count(len(series), 'series', 'series')} on {count(len(devices), 'device', 'devices')}. {NOTE}"


def repeated(series: Sequence[Series]) -> list[Series]:
    """Those with more than one run, the ones that moved first."""
    found = [one for one in series if len(one.points) > 1]
    return sorted(found, key=lambda one: one.trend == UNMOVED)


def history_table(series: Sequence[Series]) -> Table:
    rows = tuple((one.device, *history_cells(one)) for one in series)
    return Table(("device", *TITLES), rows, "The first run against the last")


def short_history(series: Sequence[Series]) -> Table:
    ends = [(_short(one.points[0]), _short(one.points[-1])) for one in series]
    rows = tuple((one.name, one.kind, *pair, one.trend) for one, pair in zip(series, ends, strict=True))
    return Table(("what", "kind", "first run", "last run", "trend"), rows, "The first run against the last")


def _points(one: Series) -> str:
    rows = [
        (p.date, (p.commit or "not committed")[:13], format_interval(p.ratio, p.low, p.high), p.kernel or "-")
        for p in one.points
    ]
    return markdown_table(("date", "commit", "speedup", "kernel"), rows)


NOTE = (
    "Ratios to the baseline of the same run. An interval covers the noise within its run, not what differs between "
    "runs: a trend is a hint, and `kernelsearch compare` measures it."
)
