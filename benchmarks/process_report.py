"""One run of processing as Markdown: the same tables, and what each task leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.plan import Series
from benchmarks.process_measures import CONCURRENCY, ProcessBench
from benchmarks.process_rows import rows
from benchmarks.report import EXPLANATION, everything, heading, judgements, table

BESIDE = """\
What else was noted; for drains, of each finished task."""


def report(series: Series, bench: ProcessBench, *, rounds: int) -> str:
    """The whole run."""
    title = (
        f"processing, {rounds} rounds of {bench.tasks:,} tasks, {CONCURRENCY} at once"
    )
    return "\n".join(
        [
            *heading(title, bench.place.databases, bench.peer_versions),
            _scale(bench),
            "",
            *judgements(rows(series), series),
            "",
            EXPLANATION,
            "",
            *everything(series),
            "",
            BESIDE,
            "",
            *table(("what", "noted"), _noted(series)),
            "",
        ]
    )


def _scale(bench: ProcessBench) -> str:
    return (
        f"Pending and finished in D-2: {bench.backlog:,} each."
        f" Traffic under the pinned transaction of D-3: {bench.pinned:g} s."
    )


def _noted(series: Series) -> Iterator[Sequence[str]]:
    for name in series.found:
        outcomes = series.median(name).outcomes
        if outcomes:
            told = ", ".join(f"{key} {value:,}" for key, value in outcomes.items())
            yield name, told
