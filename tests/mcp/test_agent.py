"""A stand-in for a coding agent, through a server of its own on standard input and output."""

import asyncio
import sys

import pytest

pytest.importorskip("mcp")
from mcp import Client, StdioServerParameters

from kernelsearch.spec import library_path

RIGHT = (library_path() / "relu2" / "seeds" / "streams.cpp").read_text()
WRONG = RIGHT.replace("max(", "min(")


def server(home) -> StdioServerParameters:
    command = ["-m", "kernelsearch", "mcp"]
    return StdioServerParameters(command=sys.executable, args=command, env={"KERNELSEARCH_HOME": str(home)})


def answer(result):
    return result.content[0].text if result.is_error else result.structured_content


def test_a_server_of_its_own_answers_on_standard_output(tmp_path):
    async def run() -> set[str]:
        async with Client(server(tmp_path)) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    assert {"read_contract", "check", "evaluate", "get_result", "submit", "claim_idea"} <= asyncio.run(run())


async def work(client: Client) -> list:
    """What an agent does: reads, fails, sees why, mends, submits. Returns the answers that matter."""

    async def call(tool: str, **arguments):
        return answer(await client.call_tool(tool, arguments, read_timeout_seconds=400))

    contract = await call("read_contract", target="relu2")
    looked = await call("check", target="relu2", source=WRONG)
    judged = await call("evaluate", target="relu2", source=WRONG, wait_s=300)
    refused = await call("submit", job_id=judged["job_id"])
    mended = await call("evaluate", target="relu2", source=RIGHT, wait_s=300)
    kept = await call("submit", job_id=mended["job_id"], wait_s=300)
    return [contract, looked, judged, refused, mended, kept]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_agent_learns_from_the_counterexample_and_submits_what_is_right(tmp_path):
    async def run() -> list:
        async with Client(server(tmp_path)) as client:
            return await work(client)

    contract, looked, judged, refused, mended, kept = asyncio.run(run())
    assert "relu2_forward" in contract["abi"]
    assert looked["result"]["status"] == judged["result"]["status"] == "MISMATCH"
    assert judged["result"]["counterexample"]
    assert "only what the judge accepted is kept" in refused
    assert mended["result"]["status"] == "PASSED"
    assert kept["result"]["stored"] if mended["result"]["accepted"] else "was not accepted" in kept
