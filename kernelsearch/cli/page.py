"""What `report --html` and `dashboard` show: the evidence of this workplace."""

from collections.abc import Sequence
from pathlib import Path

from kernelsearch.cli.workplace import Workplace
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Line, read_lines
from kernelsearch.report.html import Evidence, read_results, render_page
from kernelsearch.report.html.results import Device

RESULTS = Path("bench") / "results"
TITLE = "kernelsearch report"


def write_page(place: Workplace, results: Path | None, out: Path) -> None:
    """Write the page to `out`, whole or not at all. Raises UsageError where there is nothing to show."""
    lines = list(read_lines(place.ledger_path)) if place.ledger_path.is_file() else []
    evidence = gather(place, lines, recorded(results))
    if not lines and not evidence.devices:
        raise UsageError(
            f"ledger={str(place.ledger_path)!r} is not there and no results were found: search first with "
            "`kernelsearch optimize TARGET`, or name recorded results with --results DIR"
        )
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


def gather(place: Workplace, lines: Sequence[Line], devices: tuple[Device, ...]) -> Evidence:
    folders = {folder.target.name: folder for folder in place.folders()}
    dtypes = ("float32", "bfloat16")
    kernels = [k for name in folders for dtype in dtypes for k in place.store.kernels(name, "cpu", dtype)]
    return Evidence(_short(place.ledger_path), lines, place.objects, devices, folders, kernels)


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
