"""The dashboard's web side: the page, its script, and a stream of server-sent events.

Only requests that name this machine, or the host it was told to serve, are answered: a page elsewhere on the web cannot
read it by giving its own name this machine's address. There is nothing to change here, so there is nothing to forge.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.resources import files

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from kernelsearch.dashboard.watch import State, Watch, changes
from kernelsearch.report.html import render_document

PERIOD_S = 0.3
KEEP_ALIVE_S = 15.0
TITLE = "kernelsearch dashboard"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def make_app(watch: Watch, hosts: Sequence[str], is_ending: Callable[[], bool] = lambda: False) -> Starlette:
    """The application that shows `watch` to requests which name one of `hosts`; "*" is any.

    Viewers' streams end by themselves once `is_ending` says so: a server that must cancel them complains.
    """

    async def page(request: Request) -> Response:
        state = await asyncio.to_thread(watch.look)
        return HTMLResponse(render_document(state.sections, TITLE, live=True), headers=HEADERS)

    async def script(request: Request) -> Response:
        text = files("kernelsearch.dashboard").joinpath("static/live.js").read_text()
        return Response(text, media_type="text/javascript", headers=HEADERS)

    async def events(request: Request) -> Response:
        return StreamingResponse(stream(watch, is_ending=is_ending), media_type="text/event-stream", headers=HEADERS)

    routes = [Route("/", page), Route("/live.js", script), Route("/events", events)]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))])


async def stream(
    watch: Watch, period_s: float = PERIOD_S, is_ending: Callable[[], bool] = lambda: False
) -> AsyncIterator[str]:
    """Events for one viewer: first everything, so that a page from before a restart is right again; then changes."""
    old: State | None = None
    silent_s = 0.0
    yield "retry: 1000\n\n"
    while not is_ending():
        new = await asyncio.to_thread(watch.look)
        if old is None or new.version != old.version:
            yield encode(old, new)
            old, silent_s = new, 0.0
        elif silent_s >= KEEP_ALIVE_S:
            yield ": still here\n\n"
            silent_s = 0.0
        await asyncio.sleep(period_s)
        silent_s += period_s


def encode(old: State | None, new: State) -> str:
    """One event: the outline, the changed sections, and what is wrong with the ledger if something is."""
    changed = changes(old, new)
    body = {
        "outline": [[section.key, section.title, section.level] for section in new.sections],
        "sections": {section.key: section.html for section in changed},
        "trouble": new.trouble,
    }
    return f"id: {new.version}\ndata: {json.dumps(body)}\n\n"
