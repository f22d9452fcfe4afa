"""`kernelsearch dashboard`: the report as a page that follows a search in another process."""

import socket
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelsearch.cli.page import gather, recorded, trends
from kernelsearch.cli.workplace import open_workplace
from kernelsearch.errors import EnvironmentMissing, UsageError
from kernelsearch.ledger import Line
from kernelsearch.ledger.follow import Follower
from kernelsearch.report.html import Section, render_sections
from kernelsearch.report.text import open_console

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Request:
    port: int
    host: str
    is_opened: bool
    results: Path | None


def run(request: Request) -> tuple[dict[str, Any], int]:
    """Serve until interrupted."""
    place = open_workplace(None)
    devices, history = recorded(request.results), trends(request.results)

    def render(lines: Sequence[Line]) -> list[Section]:
        return render_sections(gather(place, lines, devices, history))

    console = open_console(stderr=True)
    with listen(request.host, request.port) as server_socket:
        server = _server(Follower(place.ledger_path), render, request.host)
        port = server_socket.getsockname()[1]
        shown = f"[{request.host}]" if ":" in request.host else request.host
        url = f"http://{shown}:{port}/"
        if request.host not in LOOPBACK:
            console.print(f"warning: host={request.host}: other machines can read this page, nobody has to log in")
        console.print(f"{url} follows {place.ledger_path}; Ctrl-C ends it", markup=False, soft_wrap=True)
        if request.is_opened:
            threading.Timer(1.0, webbrowser.open, (url,)).start()
        server.run(sockets=[server_socket])
    return {"url": url, "ledger": str(place.ledger_path)}, 0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
    except OSError as error:
        server.close()
        raise UsageError(
            f"host={host!r} port={port}: cannot be listened on ({error.strerror or error}); give another --port, "
            "0 takes a free one"
        ) from None
    return server


def _server(follower: Follower, render: Any, host: str) -> "uvicorn.Server":
    try:
        import uvicorn

        from kernelsearch.dashboard import Watch, make_app
    except ImportError as error:
        raise EnvironmentMissing(
            f"the dashboard needs {error.name}; install it with `pip install 'kernelsearch[dashboard]'`"
        ) from None
    hosts = LOOPBACK if host in LOOPBACK else ("*",)
    app: Starlette = make_app(Watch(follower, render), hosts, lambda: server.should_exit)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5, lifespan="off")
    server = uvicorn.Server(config)
    return server
