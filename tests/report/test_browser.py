"""The page of a 200-trial search beside all recorded results, in a browser: fast, silent, small, open to everybody.

The search is made up, unless KERNELSEARCH_REPORT_STATE names the state folder of a real one:

    KERNELSEARCH_REPORT_STATE=.kernelsearch python -m pytest -m slow tests/report/test_browser.py -k "not live"
"""

import os
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("vl_convert", reason="needs the report extra")

from kernelsearch.dispatch.store import Store
from kernelsearch.ledger import Objects, read_lines
from kernelsearch.ledger.follow import Follower
from kernelsearch.report import Evidence, read_results
from kernelsearch.report.html import render_page, render_sections
from kernelsearch.report.searches import find_searches
from kernelsearch.spec import TargetFolder, library_path, target_names
from tests.report.pages import opened, search_long, serious_findings, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
MOST_BYTES = 3 * 2**20
RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"


def evidence(state: Path, lines: list) -> Evidence:
    library = library_path()
    folders = {name: TargetFolder(library / name) for name in target_names(library)}
    kernels = [kernel for name in folders for kernel in Store(library, state).kernels(name, "cpu", "float32")]
    return Evidence("ledger.jsonl", lines, Objects(state / "objects"), read_results(RESULTS), folders, kernels)


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Path:
    given = os.environ.get("KERNELSEARCH_REPORT_STATE")
    return Path(given) if given else search_long(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def page_file(state, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render_page(evidence(state, list(read_lines(state / "ledger.jsonl"))), "report"))
    return file


def test_the_page_of_a_long_search_stays_small(page_file):
    assert page_file.stat().st_size < MOST_BYTES


def test_the_page_opens_within_a_second_asks_for_nothing_and_says_nothing(page_file):
    with opened(page_file.as_uri()) as (page, seen):
        taken_ms = page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
        assert (seen.messages, seen.requests) == ([], [page_file.as_uri()])
        assert taken_ms < 1000


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 1280), (False, 360), (True, 360)])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(state, page_file, dark, width):
    target = find_searches(list(read_lines(state / "ledger.jsonl")))[0].target
    with opened(page_file.as_uri(), dark=dark, width=width) as (page, _):
        page.evaluate(f"document.querySelectorAll('#target-{target} details').forEach(part => {{ part.open = true; }})")
        assert serious_findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_live_page_shows_a_new_verdict_within_a_second_and_comes_back_after_a_restart(tmp_path):
    uvicorn = pytest.importorskip("uvicorn", reason="needs the dashboard extra")
    from kernelsearch.dashboard import Watch, make_app

    state = search_long(tmp_path)
    whole = (state / "ledger.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    live = tmp_path / "live.jsonl"
    live.write_bytes(b"".join(lines[:100]))

    def start(port: int) -> "tuple[uvicorn.Server, threading.Thread, int]":
        watch = Watch(Follower(live), lambda known: render_sections(Evidence("l", known, Objects(state), (), {}, ())))
        server = uvicorn.Server(
            uvicorn.Config(make_app(watch, ["127.0.0.1"]), port=port, log_level="error", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        return server, thread, server.servers[0].sockets[0].getsockname()[1]

    server, thread, port = start(0)
    with opened(f"http://127.0.0.1:{port}/") as (page, seen):
        wait_until(page, "document.querySelector('#link').textContent.startsWith('live')")
        page.evaluate("document.querySelector('#trials-relu2-1').open = true")
        with live.open("ab") as file:
            file.write(lines[100] + lines[101][:50])
        assert wait_until(page, "document.querySelector('#answer').textContent.includes('100 verdicts')") < 1.0
        assert page.evaluate("document.querySelector('#trials-relu2-1').open")
        server.should_exit = True
        thread.join()
        wait_until(page, "document.querySelector('#link').textContent.includes('lost')")
        live.write_bytes(whole)
        server, thread, _ = start(port)
        wait_until(page, "document.querySelector('#target-relu2').textContent.includes('200 verdicts')")
        assert [text for text in seen.messages if "ERR_" not in text] == []
        server.should_exit = True
        thread.join()
