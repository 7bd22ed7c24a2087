"""A provider to try handlers against: it does nothing, once per idempotency key.

`python -m examples.fake_provider` serves on 127.0.0.1:7150 until Ctrl-C;
PROVIDER_ADDRESS names another port of the loopback, 0 a free one.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOKS = 3
"""How often a remote task is asked for until it is done."""


@dataclass(slots=True)
class Remote:
    """What was made for one idempotency key."""

    id: str
    path: str
    body: Any
    looks: int = 0


@dataclass(slots=True)
class FakeProvider:
    """What it holds: one thing per (path, key), however often it was asked."""

    remotes: dict[tuple[str, str], Remote] = field(default_factory=dict)

    calls: list[str] = field(default_factory=list)
    """The key of each POST, in their order."""

    busy_seconds: int = 0
    """If over 0, every POST is told to come back after them."""

    on_post: Callable[[str], object] = lambda _key: None
    """Called before anything is made."""

    before_answer: Callable[[str], bool] = lambda _key: True
    """Called once it is made; False drops the connection without an answer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    address: str = ""

    def make(self, path: str, key: str, body: Any) -> tuple[HTTPStatus, Any]:
        if not key:
            return HTTPStatus.BAD_REQUEST, {"error": "no Idempotency-Key"}
        with self.lock:
            self.calls.append(key)
            made = (path, key) not in self.remotes
            number = len(self.remotes) + 1
            remote = self.remotes.setdefault(
                (path, key), Remote(f"remote-{number}", path, body)
            )
        if remote.body != body:
            return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": "the key was spent"}
        status = HTTPStatus.CREATED if made else HTTPStatus.OK
        return status, {"id": remote.id}

    def look(self, path: str) -> tuple[HTTPStatus, Any]:
        with self.lock:
            for remote in self.remotes.values():
                if path == f"{remote.path}/{remote.id}":
                    return HTTPStatus.OK, _state(remote)
        return HTTPStatus.NOT_FOUND, {"error": f"no {path}"}


def _state(remote: Remote) -> dict[str, Any]:
    remote.looks += 1
    return {
        "state": "done" if remote.looks >= LOOKS else "working",
        "progress": min(remote.looks / LOOKS, 1.0),
        "url": f"https://videos.example/{remote.id}.mp4",
    }


def _handler(provider: FakeProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            key = self.headers.get("Idempotency-Key", "")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if provider.busy_seconds:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "busy"})
                return
            provider.on_post(key)
            status, answer = provider.make(self.path, key, body)
            if provider.before_answer(key):
                self._answer(status, answer)

        def do_GET(self) -> None:
            self._answer(*provider.look(self.path))

        def _answer(self, status: HTTPStatus, answer: Any) -> None:
            text = json.dumps(answer).encode()
            # Whoever asked may have been killed meanwhile.
            with suppress(ConnectionError):
                self.send_response(status)
                if status is HTTPStatus.SERVICE_UNAVAILABLE:
                    self.send_header("Retry-After", str(provider.busy_seconds))
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Say nothing: a test's output is its own."""

    return Handler


@contextmanager
def serving(*, port: int = 0) -> Iterator[FakeProvider]:
    """A provider on this port of the loopback, or on a free one."""
    provider = FakeProvider()
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(provider))
    provider.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    given = os.environ.get("PROVIDER_ADDRESS", "127.0.0.1:7150")
    port = int(given.rpartition(":")[2])
    with serving(port=port) as running, suppress(KeyboardInterrupt):
        print(f"a provider serves on {running.address}; Ctrl-C stops it", flush=True)
        threading.Event().wait()
