"""The HTML page: what it says, that it draws what it says, and that nothing foreign becomes markup."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert", reason="needs the report extra")

from kernelsearch.digest import digest
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger, Objects, read_lines
from kernelsearch.report import Evidence, read_results
from kernelsearch.report.html import charts, render_page, render_sections
from kernelsearch.report.html.measured import draw_rivals
from kernelsearch.report.html.searches import draw_progress
from kernelsearch.report.html.source import closest_parent, difference, highlight
from kernelsearch.report.measured import rows_behind
from kernelsearch.report.searches import find_searches
from kernelsearch.report.targets import name_for
from kernelsearch.report.training import Race
from kernelsearch.search import Budget, FileProposer, Trial, run_study
from kernelsearch.spec import Candidate, TargetFolder, library_path
from tests.report.conftest import make_trial
from tests.report.recorded import RACE, ROW, record

HOSTILE = "</script><img src=x onerror=alert(1)>"
CONTEXT = {"target": "attention", "dtype": "float32", "workloads": [{"name": "tiny/full"}]}


def search(folder: Path, *trials: Trial) -> Path:
    verdicts = {trial.candidate.digest: trial.verdict for trial in trials}
    ledger = Ledger(folder / "ledger.jsonl", clock=lambda: "2026-01-02T03:04:05.000+00:00")
    objects = Objects(folder / "objects")
    proposer = FileProposer([trial.candidate for trial in trials])
    judge = lambda candidate, to_beat: verdicts[candidate.digest]  # noqa: E731
    run_study([proposer], judge, ledger, context=CONTEXT, budget=Budget(trials=9), objects=objects)
    return ledger.path


def evidence(folder: Path, results: Path | None = None) -> Evidence:
    path = folder / "ledger.jsonl"
    lines = list(read_lines(path)) if path.is_file() else []
    return Evidence(
        "ledger.jsonl", lines, Objects(folder / "objects"), read_results(results) if results else (), {}, ()
    )


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_first_screen_answers_with_the_newest_race(tmp_path):
    page = render_page(evidence(tmp_path, record(tmp_path / "cpu", "race-tiny", RACE)), "report")
    assert "Yes: training got to the same loss 1.50x sooner." in page


def test_seeds_that_left_the_band_speak_against_it(tmp_path):
    seeds = [RACE, {**RACE, "equality": "different"}]
    page = render_page(evidence(tmp_path, record(tmp_path / "cpu", "race-tiny", {**RACE, "races": seeds})), "report")
    assert "Of 2 seeds, the losses of 1 left the band" in page


def test_without_a_race_the_answer_is_that_nobody_knows(tmp_path):
    search(tmp_path, make_trial(8, 1.2))
    assert "Not yet measured: no race is recorded." in render_page(evidence(tmp_path), "report")


@pytest.mark.parametrize(
    ("changed", "headline"),
    [
        ({"equality": "different"}, "No: training was faster, but its loss was not the same."),
        ({"void": True, "reason": "no launches"}, "Not known: the last race is void."),
        ({"low": 0.9}, "No: nothing was gained beyond doubt."),
    ],
)
def test_a_race_that_was_not_won_is_no_yes(changed, headline):
    assert Race("here", "2026-01-02", {**RACE, **changed}).headline == headline


def test_a_search_is_drawn_with_the_best_so_far_of_each_proposer(tmp_path):
    path = search(tmp_path, make_trial(8, 1.2), make_trial(16, 1.4))
    (found,) = find_searches(list(read_lines(path)))
    assert draw_progress(found, "p").table.rows == (("file", "1", "0", "1.200x"), ("file", "2", "0", "1.400x"))


def test_a_resumed_search_is_one_search(tmp_path):
    search(tmp_path, make_trial(8, 1.2))
    (found,) = find_searches(list(read_lines(search(tmp_path, make_trial(8, 1.2), make_trial(16, None)))))
    assert [(trial.number, trial.outcome) for trial in found.trials] == [(1, "accepted"), (2, "stopped at ladder")]


def test_a_row_with_one_rival_ahead_is_not_counted_as_ahead(tmp_path):
    assert rows_behind([ROW]) == ["full"]
    assert draw_rivals([ROW], "r").summary.startswith("In 0 of 1 rows")


def test_a_hostile_candidate_leaves_no_element_of_its_own(tmp_path):
    trial = make_trial(8, 1.2, origin=HOSTILE)
    candidate = Candidate("attention", "cpp", f"// tune: BLOCK in 8 16\n// {HOSTILE}\n", {"BLOCK": 8}, HOSTILE)
    verdict = {**trial.verdict.as_json(), "digest": candidate.digest, "detail": HOSTILE, "counterexample": HOSTILE}
    path = search(tmp_path, trial)
    body = next(line for line in read_lines(path) if line.kind == "trial").body
    source = Objects(tmp_path / "objects").put(candidate.source)
    Ledger(path).append("trial", {**body, "candidate": candidate.digest, "source": source, "verdict": verdict})
    Ledger(path).append("idea", {"id": "i", "idea": {"text": HOSTILE, "target": HOSTILE}})
    Ledger(path).append("call", {"provider": HOSTILE, "model": HOSTILE, "cost": 1, "latency": 2, "tokens": 3})
    page = render_page(evidence(tmp_path), "report")
    assert "onerror" in page
    elements = Elements(page).found
    assert not {"img", "script", "iframe", "object"} & {tag for tag, _ in elements}
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on") or name == "style"]


def test_the_page_asks_for_nothing_and_its_policy_allows_nothing(tmp_path):
    page = render_page(evidence(tmp_path, record(tmp_path / "cpu", "race-tiny", RACE)), "report")
    assert re.search(r"content=\"default-src (&#39;|')none", page)
    assert not [a for _, a in Elements(page).found if not (a.get("href") or a.get("src") or "#").startswith("#")]


def test_every_id_is_there_once_and_every_reference_leads_somewhere(tmp_path):
    search(tmp_path, make_trial(8, 1.2), make_trial(16, None))
    results = record(record(tmp_path / "cpu", "race-tiny", RACE), "bench-tiny", {"results": [ROW]})
    attributes = [a for _, a in Elements(render_page(evidence(tmp_path, results), "report")).found]
    ids = [a["id"] for a in attributes if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in attributes if "href" in a} <= set(ids)


def test_a_result_that_is_not_ours_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"race-tiny.json.* has no config"):
        read_results(record(tmp_path / "cpu", "race-tiny", {"baseline": 1}))


def test_highlighting_changes_no_character():
    text = "#include <a>\nint f() { return 1 < 2 && 'c'; }  // <b>\n"
    plain = re.sub(r"<[^>]*>", "", highlight(text, "cpp"))
    assert plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("&#39;", "'") == text


def test_the_parent_of_a_kernel_is_the_seed_that_its_origin_names_or_resembles():
    seeds = {"one": "int a;\nint b;\n", "two": "float x;\nfloat y;\n"}
    assert closest_parent(Candidate("t", "cpp", "int a;\n", {}, "two+one"), seeds) == "two"
    assert closest_parent(Candidate("t", "cpp", "int a;\nint c;\n", {}, "evolve"), seeds) == "one"


def test_a_tunable_that_was_chosen_is_a_difference():
    source = "// tune: BLOCK in 8 16\n"
    changed = difference(Candidate("t", "cpp", source, {"BLOCK": 16}, "s"), "s", source).splitlines()
    assert changed[3:5] == ["-BLOCK = 8", "+BLOCK = 16"]


def test_ideas_and_calls_are_shown_only_where_they_are_recorded(tmp_path):
    path = search(tmp_path, make_trial(8, 1.2))
    before = {section.key: section.html for section in render_sections(evidence(tmp_path))}
    assert "ideas" not in before and "Calls to models" not in before["costs"]
    Ledger(path).append("call", {"provider": "p", "model": "m", "cost": 0.5, "latency": 2, "tokens": {"prompt": 3}})
    Ledger(path).append(
        "idea", {"id": digest("i"), "idea": {"text": "wider", "predicts": {"amount": 1.2, "unit": "x"}}}
    )
    found = {section.key: section.html for section in render_sections(evidence(tmp_path))}
    assert "0.013 per accepted microsecond" in found["costs"]
    assert "1.2x" in found["ideas"]
    assert "not yet measured" in found["ideas"]


def test_a_target_that_did_not_come_with_the_installation_is_named_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = TargetFolder(tmp_path / "state" / "scaled_gelu")
    assert name_for(own, "scaled_gelu") == "state/scaled_gelu"
    assert name_for(TargetFolder(library_path() / "relu2"), "relu2") == "relu2"


def test_an_axis_that_counts_two_has_no_half():
    drawing = charts.bars([{"name": "equal", "count": 2, "is_good": True, "label": "2 equal"}], "candidates")
    assert "0.5" not in re.findall(r">([^<>]*)</text>", drawing)
