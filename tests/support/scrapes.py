"""What Prometheus would see of a service."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.service_logs import ServiceLogs

LIMIT = 20.0

ANY_PORT = {"TANDEM_METRICS_LISTEN": "127.0.0.1:0"}
"""Settings with which a service may be asked."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything that one process told, at one moment."""

    families: dict[str, Metric]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(sample.value for sample in self._samples(name, labels))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The same samples by another label of theirs."""
        return {s.labels.get(label, ""): s.value for s in self._samples(name, labels)}

    def has(self, name: str, **labels: str) -> bool:
        """Whether there is such a sample, whatever its value."""
        return any(True for _ in self._samples(name, labels))

    def _samples(self, name: str, labels: dict[str, str]) -> Iterator[Sample]:
        for family in self.families.values():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    yield sample


async def scrape(address: str) -> Scrape:
    """Ask the process at `address` (host:port)."""
    text = await asyncio.to_thread(_get, f"http://{address}/metrics")
    return Scrape({f.name: f for f in text_string_to_metric_families(text)})


async def scrape_of(logs: ServiceLogs, label: str) -> Scrape:
    """Ask the process of this label, at the address that it logged."""
    line = await logs.first(event="serving metrics", label=label)
    return await scrape(line["listen"])


def address_in(port_file: Path) -> str:
    """The address of a process that wrote its port for metrics here."""
    return f"127.0.0.1:{port_file.read_text().strip()}"


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:
        body: bytes = answer.read()
    return body.decode()
