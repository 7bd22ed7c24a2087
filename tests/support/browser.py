"""A built site in a real browser: every page is opened, and tells what went wrong.

Each page is served with a script that reports to the server, and goes on to the next
page; so one browser without any driver visits all of them.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

LIMIT: Final = 100.0
PREFERS_DARK: Final = "--blink-settings=preferredColorScheme=0"
PREFERS_LIGHT: Final = "--blink-settings=preferredColorScheme=1"

REPORTER: Final = b"""<head><script>
const wrong = [];
addEventListener("error", e => wrong.push(e.message || "cannot load " +
  (e.target.src || e.target.href)), true);
addEventListener("unhandledrejection", e => wrong.push(String(e.reason)));
for (const kind of ["error", "warn"]) console[kind] = (...said) => wrong.push(said.join(" "));
addEventListener("load", async () => {
  const pictures = [...document.images];
  for (const each of pictures) { each.loading = "eager"; await each.decode().catch(() => 0); }
  const told = {page: location.pathname, wrong,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    scheme: document.body.dataset.mdColorScheme,
    pictures: pictures.length,
    missing: pictures.filter(each => !each.naturalWidth).map(each => each.src),
    elsewhere: performance.getEntriesByType("resource").map(each => each.name)
      .filter(name => !name.startsWith(location.origin) && !name.startsWith("data:"))};
  const next = await fetch("/reported", {method: "POST", body: JSON.stringify(told)});
  const path = await next.text();
  if (path) location.replace(path);
});
</script>"""


@dataclass(slots=True)
class Visit:
    """What each page told, what was asked for in vain, and what the browser logged."""

    pages: Sequence[str]
    reports: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def next_after(self, report: dict[str, Any]) -> str:
        self.reports.append(report)
        if len(self.reports) < len(self.pages):
            return self.pages[len(self.reports)]
        self.ended.set()
        return ""


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, visit: Visit, **options: Any) -> None:
        self._visit = visit
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        page = Path(self.translate_path(self.path))
        if page.suffix == ".html" and page.is_file():
            self._answer(page.read_bytes().replace(b"<head>", REPORTER, 1))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        told = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self._visit.next_after(json.loads(told)).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, *args: Any, **options: Any) -> None:
        self._visit.refused.append(f"{code} {self.path}")
        super().send_error(code, *args, **options)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """The visit keeps what matters."""


def visit(site: Path, pages: Sequence[str], *, profile: Path, prefers: str) -> Visit:
    """Open these pages, paths from the site's root, one after the other.

    Raises:
        AssertionError: not all of them had told of themselves within `LIMIT` seconds.
    """
    seen = Visit(pages)
    log = profile / "chromium.log"
    with _served(site, seen) as address, _browser(address + pages[0], log, prefers):
        in_time = seen.ended.wait(LIMIT)
    seen.console = [line for line in log.read_text().splitlines() if "CONSOLE" in line]
    assert in_time, (len(seen.reports), len(pages), log.read_text()[-2000:])
    return seen


@contextmanager
def _served(site: Path, seen: Visit) -> Iterator[str]:
    handler = partial(_Handler, visit=seen, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def _browser(address: str, log: Path, prefers: str) -> Iterator[None]:
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--remote-debugging-port=0",
        "--enable-logging=stderr",
        f"--user-data-dir={log.parent / 'profile'}",
        prefers,
        address,
    ]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=errors, stderr=errors)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)
