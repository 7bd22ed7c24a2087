"""What one round measures of processing, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.loads.shared import Figures
from benchmarks.plan import PEERS
from benchmarks.process_measures import BY_DEFAULT, ProcessBench

Take = Callable[[ProcessBench], Mapping[str, Figures]]


def measures(bench: ProcessBench, *, is_first: bool) -> Iterator[tuple[str, Take]]:
    """What is compared is measured one right after the other; some of it once a run."""
    yield _single("drain", ProcessBench.drain)
    yield _single("drain laden", ProcessBench.laden)
    if is_first:
        yield _single("drain pinned", ProcessBench.pinned_drain)
    yield _single("side by side", ProcessBench.ends)
    yield _single("drain by default", lambda b: b.drain(concurrency=BY_DEFAULT))
    yield _single("pickup", ProcessBench.pickup)
    if bench.peers_python:
        for name in PEERS:
            yield name, _peer(name)
    if is_first:
        yield _single("idle", ProcessBench.idle)
        yield _single("processor killed", ProcessBench.killed_processor)
        yield _single("creator killed", ProcessBench.killed_creator)
        yield _single("postgres killed", ProcessBench.killed_postgres)


def _single(name: str, take: Callable[[ProcessBench], Figures]) -> tuple[str, Take]:
    return name, lambda bench: {name: take(bench)}


def _peer(name: str) -> Take:
    return lambda bench: bench.peer(name)
