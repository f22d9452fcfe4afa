"""Workers that compile ahead: what they may see of this machine, and what becomes of their deaths."""

from pathlib import Path
from typing import Any

import pytest

from kernelsearch.build.ahead import ask_ahead, outermost
from kernelsearch.errors import Infrastructure


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def ask(tmp_path, cache_dir):
    def run(body: str, **request: Any) -> dict[str, Any]:
        worker = tmp_path / "some_worker.py"
        worker.write_text(f"def answer(request):\n    {body}\n")
        return ask_ahead(worker, request, "1", cache_dir)

    return run


def test_a_worker_reads_no_file_of_the_user(ask, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("1234")
    found = ask("return {'found': open(request['path']).read()}", path=str(secret))
    assert "No such file" in found["error"] or "Permission denied" in found["error"]


def test_a_worker_has_no_network(ask):
    assert "not permitted" in ask("import socket; socket.socket()")["error"]


def test_a_worker_writes_nowhere_but_in_its_folder(ask, tmp_path):
    found = ask("open('here', 'w').close(); open(request['path'], 'w')", path=str(tmp_path / "there"))
    assert "there" in found["error"] and not (tmp_path / "there").exists()


def test_a_worker_that_dies_is_an_answer(ask):
    assert "died by signal" in ask("import os; os.abort()")["error"]


def test_a_worker_that_leaves_without_an_answer_is_our_fault(ask):
    with pytest.raises(Infrastructure, match="some_worker"):
        ask("import os; os._exit(3)")


def test_the_same_question_is_asked_once(ask):
    body = "import os; return {'random': os.urandom(8).hex()}"
    assert ask(body, a=1) == ask(body, a=1) != ask(body, a=2)


def test_a_path_within_another_is_left_out():
    assert outermost(["/a/b", "/a", "/ab"]) == ["/a", "/ab"]
