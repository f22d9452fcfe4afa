"""The live page: what viewers are sent, and who is answered."""

import asyncio
import json

import pytest

pytest.importorskip("starlette")
pytest.importorskip("vl_convert", reason="needs the dashboard extra")

from kernelsearch.dashboard import Watch, make_app
from kernelsearch.dashboard.app import stream
from kernelsearch.ledger import Ledger
from kernelsearch.ledger.follow import Follower
from kernelsearch.report.html import Section


def count_lines(lines):
    return [Section("fixed", "Fixed", "always"), Section("count", "Count", f"<p>{len(lines)} lines</p>")]


def watch(folder):
    return Watch(Follower(folder / "ledger"), count_lines)


def data(event):
    return json.loads(event.split("data: ")[1])


def test_a_viewer_is_sent_everything_and_then_what_changed(tmp_path):
    watching = watch(tmp_path)

    async def two_events():
        events = stream(watching, period_s=0.01)
        assert (await anext(events)).startswith("retry")
        first = data(await anext(events))
        Ledger(tmp_path / "ledger").append("note", {})
        return first, data(await anext(events))

    first, second = asyncio.run(two_events())
    assert first["sections"] == {"fixed": "always", "count": "<p>0 lines</p>"}
    assert second["sections"] == {"count": "<p>1 lines</p>"}


def test_every_viewer_sees_every_change(tmp_path):
    watching = watch(tmp_path)

    async def both():
        viewers = [stream(watching, period_s=0.01) for _ in range(2)]
        for viewer in viewers:
            assert len([await anext(viewer), await anext(viewer)]) == 2
        Ledger(tmp_path / "ledger").append("note", {})
        return [data(await anext(viewer))["sections"] for viewer in viewers]

    assert asyncio.run(both()) == [{"count": "<p>1 lines</p>"}] * 2


def test_a_stream_ends_by_itself_when_the_server_ends(tmp_path):
    async def whole():
        return [event async for event in stream(watch(tmp_path), period_s=0.01, is_ending=lambda: True)]

    assert asyncio.run(whole()) == ["retry: 1000\n\n"]


def test_a_damaged_ledger_keeps_the_last_page_and_says_why(tmp_path):
    watching = watch(tmp_path)
    Ledger(tmp_path / "ledger").append("note", {"n": 1})
    watching.look()
    with (tmp_path / "ledger").open("ab") as file:
        file.write(b"{}\n")
    state = watching.look()
    assert [section.html for section in state.sections] == ["always", "<p>1 lines</p>"]
    assert "line 2" in state.trouble


def test_a_ledger_that_was_mended_is_shown_again(tmp_path):
    watching = watch(tmp_path)
    ledger = tmp_path / "ledger"
    ledger.write_bytes(b"{}\n")
    assert watching.look().trouble is not None
    ledger.unlink()
    assert watching.look().trouble is None


def get(app, path, host):
    """Status, content type and text of one request, without a socket."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asked = {"type": "http", "method": "GET", "path": path, "headers": [(b"host", host.encode())], "query_string": b""}
    asyncio.run(app({**asked, "scheme": "http", "http_version": "1.1"}, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"])[b"content-type"], body.decode()


def test_the_page_names_its_script_and_its_policy_allows_no_other(tmp_path):
    app = make_app(watch(tmp_path), ["localhost"])
    _, _, page = get(app, "/", "localhost:8321")
    assert '<script src="live.js" defer></script>' in page
    assert "script-src &#39;self&#39;; connect-src &#39;self&#39;" in page
    assert get(app, "/live.js", "localhost:8321")[1].startswith(b"text/javascript")


def test_a_request_that_names_another_host_is_refused(tmp_path):
    assert get(make_app(watch(tmp_path), ["localhost"]), "/", "evil.example")[0] == 400
