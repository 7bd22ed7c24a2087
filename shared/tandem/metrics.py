"""Counts in the words of Prometheus, and those that both services have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

import asyncpg
from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from tandem.measures import CallCounts, Spread

Values: TypeAlias = Mapping[tuple[str, ...], float]
"""By the values of the labels, in their order."""

MOST_NAMES: Final = 100
"""Queues, or groups, that get series of their own: whoever creates tasks names them."""

OTHERS: Final = "_other"
"""Stands for the rest of them. No name begins like this."""


def counter(
    name: str, meaning: str, values: Values, labels: Sequence[str] = ()
) -> Metric:
    """What only grows. The name ends in `_total`."""
    return _filled(CounterMetricFamily(name, meaning, labels=labels), values)


def gauge(
    name: str, meaning: str, values: Values, labels: Sequence[str] = ()
) -> Metric:
    """What goes up and down."""
    return _filled(GaugeMetricFamily(name, meaning, labels=labels), values)


def histogram(
    name: str,
    meaning: str,
    spreads: Mapping[tuple[str, ...], Spread],
    labels: Sequence[str] = (),
) -> Metric:
    """How values are spread."""
    family = HistogramMetricFamily(name, meaning, labels=labels)
    for of, spread in spreads.items():
        family.add_metric(of, _buckets(spread), spread.total)
    return family


def one(value: float) -> Values:
    """The value of a metric without labels."""
    return {(): value}


def of_server(counts: CallCounts, *, is_serving: bool) -> Iterator[Metric]:
    """Calls by method, and what health says."""
    methods = counts.methods
    yield gauge(
        "tandem_serving",
        "1 if health says SERVING, else 0: the database is away, or the process stops",
        one(int(is_serving)),
    )
    yield counter(
        "tandem_rpcs_total",
        "Calls that have ended",
        {
            (name, outcome): count
            for name, method in methods.items()
            for outcome, count in method.ended.items()
        },
        ["method", "outcome"],
    )
    yield histogram(
        "tandem_rpc_duration_seconds",
        "How long calls took that are no streams",
        {(n,): m.seconds for n, m in methods.items() if m.seconds is not None},
        ["method"],
    )
    yield gauge(
        "tandem_streams_open",
        "Streams that callers have open",
        {(n,): m.open for n, m in methods.items() if m.seconds is None},
        ["method"],
    )


def of_pools(*pools: asyncpg.Pool, kept: int = 0) -> Iterator[Metric]:
    """Connections to the database; `kept` are held outside the pools, and unused."""
    idle = sum(pool.get_idle_size() for pool in pools) + kept
    yield gauge(
        "tandem_pool_connections",
        "Open connections to the database",
        {
            ("in_use",): sum(pool.get_size() for pool in pools) - idle,
            ("idle",): idle,
        },
        ["state"],
    )
    yield gauge(
        "tandem_pool_connections_max",
        "The most connections that the process may have open",
        one(sum(pool.get_max_size() for pool in pools)),
    )


def shown(weights: Mapping[str, float]) -> Mapping[str, str]:
    """What each name is shown as: the MOST_NAMES heaviest as they are, the rest as one."""
    order = sorted(weights, key=lambda name: (-weights[name], name))
    kept = frozenset(order[:MOST_NAMES])
    return {name: name if name in kept else OTHERS for name in weights}


def added_up(values: Iterable[tuple[tuple[str, ...], float]]) -> Values:
    """The sum for all that are shown alike."""
    sums: dict[tuple[str, ...], float] = {}
    for of, value in values:
        sums[of] = sums.get(of, 0) + value
    return sums


def largest(values: Iterable[tuple[tuple[str, ...], float]]) -> Values:
    """The largest of all that are shown alike."""
    found: dict[tuple[str, ...], float] = {}
    for of, value in values:
        found[of] = max(found.get(of, value), value)
    return found


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Values) -> Metric:
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _buckets(spread: Spread) -> list[tuple[str, float]]:
    bounds = (*map(str, spread.bounds), "+Inf")
    return list(zip(bounds, accumulate(spread.counts), strict=True))
