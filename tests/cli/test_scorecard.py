"""`kernelsearch scorecard` from outside, its quick part."""

import json

from typer.testing import CliRunner

from kernelsearch.cli.app import app


def test_an_unknown_part_is_refused_with_the_known_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))
    found = CliRunner().invoke(app, ["scorecard", "--part", "luck"])
    assert "part='luck': choose from exploits" in str(found.exception)


def test_the_clock_alone_is_one_document(monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path))
    asked = ["scorecard", "--part", "clock", "--decisions", "1", "--threads", "1", "--json"]
    monkeypatch.setattr("kernelsearch.cli.scorecard.DIALS", ())
    card = json.loads(CliRunner().invoke(app, asked).stdout)
    assert card["environment"]["threads"] == 1
