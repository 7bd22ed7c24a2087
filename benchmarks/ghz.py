"""ghz, where it is installed: a load that is not Python, to check our own by."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.children import Server
from benchmarks.cpu import Clock
from benchmarks.loads.shared import Figures
from benchmarks.messages import PROJECT
from benchmarks.payload import PAYLOAD
from benchmarks.stopping import run_load

CALL = "tandem.v1.CreatorService.CreateTask"

DATA = {
    "request_id": "{{newUUID}}",
    "spec": {"project": PROJECT, "type": "blog_post", "payload": dict(PAYLOAD)},
}

NANOSECONDS = 1_000_000
"""In a millisecond."""


@dataclass(frozen=True, slots=True)
class Ghz:
    """The program."""

    path: str

    @classmethod
    def find(cls) -> Self | None:
        """It on the PATH, or where `go install` puts it."""
        at_home = Path.home() / "go" / "bin" / "ghz"
        path = shutil.which("ghz") or shutil.which(str(at_home))
        return cls(path) if path else None

    def load(
        self, server: Server, *, callers: int, seconds: float, postgres: int
    ) -> Figures:
        """Creates in a closed loop."""
        watched = {"server": [server.pid], "postgres": [postgres]}
        first = Clock.read(watched)
        found = self._run(server.address, callers=callers, seconds=seconds)
        percentiles = {
            each["percentage"]: each["latency"] / NANOSECONDS
            for each in found["latencyDistribution"]
        }
        return Figures(
            rate=found["rps"],
            p50=percentiles[50],
            p99=percentiles[99],
            outcomes=found["statusCodeDistribution"],
            cores=Clock.read(watched).cores_since(first),
        )

    def _run(self, address: str, *, callers: int, seconds: float) -> dict[str, Any]:
        options = {
            "--proto": "protos/tandem/v1/creator.proto",
            "--import-paths": "protos",
            "--call": CALL,
            "--concurrency": str(callers),
            "--connections": str(min(4, callers)),
            "--duration": f"{seconds}s",
            "--duration-stop": "wait",
            "--data": json.dumps(DATA),
            "--format": "json",
        }
        given = [f"{name}={value}" for name, value in options.items()]
        command = [self.path, "--insecure", *given, address]
        found: dict[str, Any] = json.loads(run_load(command, limit=60))
        return found
