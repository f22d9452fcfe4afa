"""`kernelsearch mcp`: the judge, the queue and the store as tools for a coding agent."""

import asyncio

from kernelsearch.cli.desk import Desk
from kernelsearch.cli.mcp_jobs import Jobs
from kernelsearch.cli.require import require
from kernelsearch.report.text import open_console

HOST = "127.0.0.1"


def run(port: int | None) -> None:
    """Serve on standard input and output, or at a port of this machine alone, until the other end is gone or Ctrl-C."""
    require("mcp")
    asyncio.run(_serve(port))


async def _serve(port: int | None) -> None:
    from kernelsearch.cli.mcp_server import make_server

    desk = Desk()
    jobs = Jobs(desk.state)
    server = make_server(desk, jobs)
    try:
        if port is None:
            await server.run_stdio_async()
        else:
            open_console(stderr=True).print(f"http://{HOST}:{port}/mcp", markup=False)
            await server.run_streamable_http_async(host=HOST, port=port)
    finally:
        await jobs.close()
