"""The ideas that come with the targets: each is well formed, and no figure in them disagrees with its record."""

import json
from pathlib import Path

import pytest

from kernelsearch.errors import UsageError
from kernelsearch.ideas.entry import Measured
from kernelsearch.ideas.library import _table, built_in, read_ideas
from kernelsearch.ideas.queue import resembling
from kernelsearch.spec import library_path, target_names

LIBRARY = library_path()
RESULTS = Path(__file__).parent.parent.parent / "bench" / "results" / "cpu-amd-epyc-avx512-2c"
FOLDERS = [LIBRARY / name for name in target_names(LIBRARY)]
ENTRIES = built_in(FOLDERS)
LOSERS = [
    (folder.name, item)
    for folder in FOLDERS
    for item in _table(folder / "ideas.toml")
    if item.get("outcome") == "slower"
]


def test_every_target_comes_with_ideas():
    assert {entry.idea.target for entry in ENTRIES} == {folder.name for folder in FOLDERS}


def test_every_idea_of_a_target_predicts_something_and_has_a_source():
    assert not [e.idea.text for e in ENTRIES if e.idea.predicts is None or not e.idea.source]


def test_no_two_ideas_of_a_target_are_alike():
    alike = [(e.idea.text, resembling(e.idea, [o for o in ENTRIES if o is not e])) for e in ENTRIES]
    assert not [(text, like.idea.text) for text, like in alike if like is not None]


@pytest.mark.parametrize(
    ("target", "item"), LOSERS, ids=lambda value: value if isinstance(value, str) else value["seed"]
)
def test_a_slower_idea_has_the_figure_of_its_recorded_study_and_lost_there(target, item):
    study = json.loads((RESULTS / item["study"]).read_text())
    assert study["target"] == target
    assert item["low"] == pytest.approx(study["seeds"][item["seed"]], abs=1e-3)
    assert item["low"] < study["best"]["low"]


def test_a_tried_idea_has_the_figures_of_its_accepted_kernel():
    entry = next(e for e in ENTRIES if e.idea.target == "relu2" and e.outcome and e.outcome.outcome == "faster")
    verdict = json.loads((LIBRARY / "relu2/accepted/cpu-cpp-float32/provenance.json").read_text())["verdict"]
    assert entry.outcome.measured == Measured(verdict["low"], "provenance", verdict["speedup"], verdict["high"])


def test_a_list_of_ideas_is_read_from_toml_and_json(tmp_path):
    (tmp_path / "a.toml").write_text('[[idea]]\ntext = "a text of some length"\ntarget = "relu2"\npredicts = "2x"\n')
    (tmp_path / "a.json").write_text('[{"text": "a text of some length", "target": "relu2", "predicts": "2x"}]')
    (one,), (other,) = (read_ideas(tmp_path / name, "me") for name in ("a.toml", "a.json"))
    assert (one.id, one.author, one.source, other.predicts) == (other.id, "me", "a.toml", one.predicts)


@pytest.mark.parametrize(
    "text", ["[[idea]]\nname = 1\n", "x", "[idea]\ntext = 'a'\n", "[[idea]]\ntext = 'only a text'\n"]
)
def test_a_list_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UsageError):
        read_ideas(tmp_path / "a.toml", "me")
