"""What `report` and `dashboard` show: the evidence of this workplace."""

from collections.abc import Sequence
from pathlib import Path

from kernelsearch.cli.workplace import Workplace
from kernelsearch.custom.load import FOLDER
from kernelsearch.dispatch.store import Accepted
from kernelsearch.errors import UsageError
from kernelsearch.ideas.library import built_in
from kernelsearch.ledger import Line, read_lines
from kernelsearch.report.evidence import Evidence
from kernelsearch.report.history import Series, read_history
from kernelsearch.report.html import render_page
from kernelsearch.report.results import Device, read_results
from kernelsearch.spec import TargetFolder, target_names

RESULTS = Path("bench") / "results"
TITLE = "kernelsearch report"
DTYPES = ("float32", "bfloat16")


def read_evidence(place: Workplace, results: Path | None) -> Evidence:
    """Raises UsageError where there is nothing to show."""
    lines = list(read_lines(place.ledger_path)) if place.ledger_path.is_file() else []
    evidence = gather(place, lines, recorded(results), trends(results))
    if not lines and not evidence.devices:
        raise UsageError(
            f"ledger={str(place.ledger_path)!r} is not there and no results were found: search first with "
            "`kernelsearch optimize TARGET`, or name recorded results with --results DIR"
        )
    return evidence


def write_page(evidence: Evidence, out: Path) -> None:
    """Write the page to `out`, whole or not at all."""
    text = render_page(evidence, TITLE)
    try:
        out.write_text(text)
    except OSError as error:
        raise UsageError(f"html={str(out)!r}: cannot be written ({error.strerror})") from None


def recorded(results: Path | None) -> tuple[Device, ...]:
    """The results in the named folder, else in bench/results of the folder where the user stands, if it is there."""
    if results is None and not RESULTS.is_dir():
        return ()
    return read_results(results or RESULTS)


def trends(results: Path | None) -> tuple[Series, ...]:
    """Recorded ratios over dates and commits, where the folder is the parent of devices."""
    if results is None and not RESULTS.is_dir():
        return ()
    return read_history(results or RESULTS, from_git=True)


def gather(
    place: Workplace, lines: Sequence[Line], devices: tuple[Device, ...], history: Sequence[Series] = ()
) -> Evidence:
    library = {folder.target.name: folder for folder in place.folders()}
    folders = {**own_folders(place.state_dir), **library}
    kernels = [kernel for name in sorted(folders) for kernel in _kept(place, name)]
    ideas = built_in(folder.path for folder in library.values())
    return Evidence(_short(place.ledger_path), lines, place.objects, devices, folders, kernels, ideas, history)


def own_folders(state_dir: Path) -> dict[str, TargetFolder]:
    """Targets made from the user's own functions, the newest of each name."""
    root = state_dir / FOLDER
    made = sorted(target_names(root), key=lambda name: (root / name / "target.py").stat().st_mtime)
    folders = [TargetFolder(root / name) for name in made]
    return {folder.target.name: folder for folder in folders}


def _kept(place: Workplace, target: str) -> list[Accepted]:
    return [kernel for dtype in DTYPES for kernel in place.store.kernels(target, "cpu", dtype)]


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
