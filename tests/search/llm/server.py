"""A real HTTP server that answers as a model provider would, from a list; what it was asked is kept."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | tuple[int, str]


class Provider:
    """`reply` gives for each request the text of an answer, or a status and the error's text."""

    def __init__(self, reply: Callable[[dict[str, Any]], Reply]) -> None:
        self.reply = reply
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def prompt(self, index: int) -> str:
        """Everything that request number `index` said to the model."""
        return json.dumps(self.requests[index], ensure_ascii=False).replace("\\n", "\n").replace('\\"', '"')


def listed(replies: Sequence[Reply]) -> Callable[[dict[str, Any]], Reply]:
    left = iter(replies)
    return lambda request: next(left)


@contextmanager
def serve(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[Provider]:
    provider = Provider(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            provider.requests.append(request)
            provider.headers.append({name.lower(): value for name, value in self.headers.items()})
            replied = provider.reply(request)
            status, body = (200, None) if isinstance(replied, str) else (replied[0], {"error": {"message": replied[1]}})
            make = _anthropic if self.path.endswith("/messages") else _openai
            data = json.dumps(body or make(request, replied)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("retry-after", "0")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _openai(request: dict[str, Any], text: Reply) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
    usage["prompt_tokens_details"] = {"cached_tokens": 400}  # type: ignore[assignment]
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [choice],
        "usage": usage,
    }


def _anthropic(request: dict[str, Any], text: Reply) -> dict[str, Any]:
    usage = {
        "input_tokens": 500,
        "output_tokens": 200,
        "cache_read_input_tokens": 400,
        "cache_creation_input_tokens": 100,
    }
    return {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": request["model"],
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }
