"""The server's tools as a client meets them. Judgements are stood in for by a script that answers at once."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp")
from mcp import Client

from kernelsearch.cli.desk import Desk
from kernelsearch.cli.mcp_jobs import MAXIMUM_SOURCE_BYTES, MAXIMUM_WAITING, Jobs, Question
from kernelsearch.cli.mcp_server import make_server
from kernelsearch.spec import library_path

VERDICT = json.loads((library_path() / "relu2/accepted/cpu-cpp-float32/provenance.json").read_text())["verdict"]
# Stands in for `kernelsearch check`: notes when it runs, tells two gates, and answers what the source says.
STAND_IN = """
import json, os, sys, time
open(sys.argv[1] + ".pid", "w").write(str(os.getpid()))
source = open(sys.argv[2]).read()
log = open(sys.argv[1], "a")
log.write("begin\\n"); log.flush()
print("gate build", file=sys.stderr, flush=True)
time.sleep(0.05)
print("gate timing", file=sys.stderr, flush=True)
log.write("end\\n")
log.close()
if "slow" in source: time.sleep(60)
if "crash" in source: sys.exit("kernelsearch: it broke")
print(source)
"""


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def server(home, monkeypatch):
    def command(self: Question, file: Path) -> list[str]:
        return [sys.executable, "-c", STAND_IN, str(home / "log"), str(file)]

    monkeypatch.setattr(Question, "command", command)
    return make_server(Desk(state=home), Jobs(home, timeout_s=20))


def ask(server, *calls: tuple[str, dict]) -> list:
    """The structured answers of one client's calls in order; an error's text where it is one."""

    async def run() -> list:
        async with Client(server) as client:
            return [answer(await client.call_tool(name, arguments)) for name, arguments in calls]

    return asyncio.run(run())


def answer(result):
    return result.content[0].text if result.is_error else result.structured_content


def source(**verdict) -> str:
    return json.dumps({**VERDICT, **verdict})


def test_targets_and_contracts_are_read(server):
    targets, contract = ask(server, ("list_targets", {}), ("read_contract", {"target": "relu2"}))
    assert "relu2" in [row["target"] for row in targets["targets"]]
    assert "relu2_forward" in contract["abi"]


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("read_contract", {"target": "/etc"}, "target='/etc'"),
        ("evaluate", {"target": "../relu2", "source": "x"}, "target='../relu2'"),
        ("evaluate", {"target": "relu2", "source": ""}, "source of 0 bytes"),
        ("evaluate", {"target": "relu2", "source": "x" * (MAXIMUM_SOURCE_BYTES + 1)}, "source of"),
        ("evaluate", {"target": "relu2", "source": "x", "workload": "--keep"}, "'--keep' is none"),
        ("evaluate", {"target": "relu2", "source": "x", "language": "sh"}, "language='sh'"),
        ("get_result", {"job_id": "1"}, "no such job"),
        ("submit", {"job_id": "1"}, "no such job"),
        ("list_ideas", {"state": "bogus"}, "state='bogus'"),
        ("claim_idea", {"worker": "w", "hours": 1000}, "hours"),
        ("profile", {"target": "relu2", "job_id": "1"}, "no such job"),
    ],
)
def test_what_cannot_be_is_an_answer_that_names_it(server, tool, arguments, named):
    assert named in ask(server, (tool, arguments))[0]


def test_an_evaluation_is_a_job_whose_verdict_comes_later(server):
    async def run():
        async with Client(server) as client:
            told = []

            async def listen(progress, total, message):
                told.append(message)

            job = answer(await client.call_tool("evaluate", {"target": "relu2", "source": source()}))
            wait = {"job_id": job["job_id"], "wait_s": 15}
            return job, answer(await client.call_tool("get_result", wait, progress_callback=listen)), told

    job, done, told = asyncio.run(run())
    assert (job["state"], done["state"], done["result"]["digest"]) == ("waiting", "done", VERDICT["digest"])
    assert told


def test_two_clients_evaluate_one_after_the_other(server, home):
    async def one() -> str:
        async with Client(server) as client:
            arguments = {"target": "relu2", "source": source(), "wait_s": 15}
            return answer(await client.call_tool("evaluate", arguments))["state"]

    async def both() -> list[str]:
        return list(await asyncio.gather(one(), one()))

    assert asyncio.run(both()) == ["done", "done"]
    assert (home / "log").read_text().split() == ["begin", "end"] * 2


def test_a_judgement_that_broke_says_how_and_the_next_one_runs(server):
    broken, whole = ask(
        server,
        ("evaluate", {"target": "relu2", "source": "crash", "wait_s": 15}),
        ("evaluate", {"target": "relu2", "source": source(), "wait_s": 15}),
    )
    assert (broken["state"], whole["state"]) == ("failed", "done")
    assert "it broke" in broken["error"]


def test_a_cancelled_job_leaves_no_process(server, home):
    async def run():
        async with Client(server) as client:
            job = answer(await client.call_tool("evaluate", {"target": "relu2", "source": "slow", "wait_s": 1}))
            return answer(await client.call_tool("cancel", {"job_id": job["job_id"]}))

    assert asyncio.run(run())["state"] == "cancelled"
    assert not Path("/proc", (home / "log.pid").read_text()).exists()


def test_no_more_than_so_many_judgements_wait(home, monkeypatch):
    async def run() -> str:
        jobs = Jobs(home)
        monkeypatch.setattr(Jobs, "_judge", lambda self, job: asyncio.sleep(60))
        for _ in range(MAXIMUM_WAITING):
            jobs.start(Question("relu2", "x", "cpp"))
        try:
            jobs.start(Question("relu2", "x", "cpp"))
        except Exception as error:
            return str(error)
        finally:
            await jobs.close()
        return ""

    assert "are waiting" in asyncio.run(run())


@pytest.mark.parametrize(
    ("tool", "accepted", "why"),
    [("evaluate", False, "was not accepted"), ("check", True, "submit the job of evaluate")],
)
def test_only_what_the_judge_accepted_as_a_whole_is_submitted(server, tool, accepted, why):
    async def run():
        async with Client(server) as client:
            wait = {"wait_s": 15} if tool == "evaluate" else {}
            job = answer(await client.call_tool(tool, {"target": "relu2", "source": source(accepted=accepted), **wait}))
            return answer(await client.call_tool("submit", {"job_id": job["job_id"]}))

    assert why in asyncio.run(run())


def test_an_accepted_candidate_is_judged_again_to_be_kept(server):
    async def run():
        async with Client(server) as client:
            job = answer(await client.call_tool("evaluate", {"target": "relu2", "source": source(), "wait_s": 15}))
            return answer(await client.call_tool("submit", {"job_id": job["job_id"], "wait_s": 15}))

    assert asyncio.run(run())["state"] == "done"


def test_a_profile_tells_shares_and_light(server):
    (profile,) = ask(server, ("profile", {"target": "relu2"}))
    assert sum(row["share_of_target"] for row in profile["workloads"]) == pytest.approx(1)
    assert all(0 < row["of_speed_of_light"] < 2 for row in profile["workloads"])


def test_the_leaderboard_has_the_fastest_first(server):
    (board,) = ask(server, ("leaderboard", {"target": "adamw_step"}))
    lows = [row["low"] for row in board["kernels"]]
    assert len(lows) > 1
    assert lows == sorted(lows, reverse=True)


def test_an_idea_is_filed_claimed_and_closed(server):
    text = "keep two rows in flight so that loads overlap with the root"
    (filed,) = ask(server, ("add_idea", {"text": text, "target": "mix_norm", "author": "a", "predicts": "1.1x"}))
    claimed, closed = ask(
        server,
        ("claim_idea", {"worker": "a", "idea_id": filed["id"]}),
        ("close_idea", {"worker": "a", "idea_id": filed["id"], "outcome": "slower", "note": "spills"}),
    )
    assert (claimed["claimed"]["state"], closed["outcome"]["note"]) == ("claimed", "spills")
