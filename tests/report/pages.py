"""A headless browser for the slow tests of pages, and the largest page that they must carry."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import Budget, FileProposer, run_study
from kernelsearch.spec import Candidate, Gate, Measurement, Status, Verdict

TRIALS = 200
RUN_AXE = (
    "axe.run({resultTypes: ['violations']})"
    ".then(found => JSON.stringify(found.violations.map(rule => [rule.impact, rule.id])))"
)
BODY = "".join(f"inline int step_{n}(int x) {{ return x + {n}; }}\n" for n in range(150))
CONTEXT = {"target": "relu2", "dtype": "float32", "workloads": [{"name": "tiny/relu2"}]}


@dataclass
class Seen:
    """What a page said and asked for while it was open."""

    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def opened(url: str, *, dark: bool = False, width: int = 1280) -> Iterator[tuple[Any, Seen]]:
    """A page of Debian's Chromium at `url`. Skips the test where browser or driver are missing."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs the browser extra")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium: apt-get install chromium")
    seen = Seen()
    with driver.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        scheme = "dark" if dark else "light"
        page = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}).new_page()
        page.on("console", lambda message: seen.messages.append(message.text))
        page.on("pageerror", lambda error: seen.messages.append(str(error)))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.goto(url)
        yield page, seen
        browser.close()


def serious_findings(page: Any) -> list[str]:
    """What axe-core finds serious or critical. It is let in by the debugger: the page's policy allows no script."""
    package = pytest.importorskip("axe_playwright_python", reason="needs the browser extra")
    debugger = page.context.new_cdp_session(page)
    debugger.send("Runtime.evaluate", {"expression": (Path(package.__file__).parent / "axe.min.js").read_text()})
    found = debugger.send(
        "Runtime.evaluate",
        {
            "expression": RUN_AXE,
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    findings = json.loads(found["result"]["value"])
    return [name for impact, name in findings if impact in ("serious", "critical")]


def wait_until(page: Any, expression: str, limit_s: float = 30.0) -> float:
    """Seconds until a JavaScript expression holds; asked from outside, because the page's policy allows no eval."""
    began = time.monotonic()
    while not page.evaluate(expression):
        assert time.monotonic() - began < limit_s, expression
        time.sleep(0.02)
    return time.monotonic() - began


def search_long(folder: Path) -> Path:
    """A ledger of TRIALS trials that ended in many ways, each with a source of 150 lines; the folder is the state's."""
    source = f"// tune: BLOCK in {' '.join(str(n + 1) for n in range(TRIALS))}\n{BODY}"
    candidates = [Candidate("relu2", "cpp", source, {"BLOCK": n + 1}, "streams") for n in range(TRIALS)]
    numbers = {candidate.digest: number for number, candidate in enumerate(candidates)}
    run_study(
        [FileProposer(candidates)],
        lambda candidate, to_beat: _verdict(candidate, numbers[candidate.digest]),
        Ledger(folder / "ledger.jsonl"),
        context=CONTEXT,
        budget=Budget(trials=TRIALS),
        objects=Objects(folder / "objects"),
    )
    return folder


def _verdict(candidate: Candidate, number: int) -> Verdict:
    gates = tuple(Gate(name, True, 0.1) for name in ("build", "lint", "smoke", "ladder", "search", "timing"))
    failed = (*gates[: number % 5], Gate(gates[number % 5].name, False, 0.1))
    common = ("relu2", candidate.digest, "cpp", "float32")
    if number % 3 == 0:
        return Verdict(*common, Status.MISMATCH, "too far off " * 20, 1.0, counterexample="N=17 " * 20, gates=failed)
    low = 1.0 + (number * 37 % 100) / 50
    timed = Measurement("tiny/relu2", "float32", "forward", low, low, low, 9.0, 20.0, 5.0, 0.01, 40, 4.0)
    passed = Verdict(*common, Status.PASSED, "equal and faster", 1.0, gates=gates, measurements=(timed,))
    return replace(passed, accepted=low > 1.1, speedup=low + 0.05, low=low, high=low + 0.1)
