"""Counts, and how Prometheus is told of them."""

from __future__ import annotations

import threading

from prometheus_client import Metric

from tandem.measures import Spread
from tandem.metrics import MOST_NAMES, OTHERS, histogram
from tandem.scraping import scraped
from tandem.settings import Settings
from tandem.states import TaskState
from tandem.v1 import processor_pb2 as pb
from tandem.wire import STATES
from tandem_processor.figures import of_queues

URL = "postgresql://tandem_creator:secret@db/tandem"


def samples(metric: Metric, label: str) -> dict[str, float]:
    return {s.labels.get(label, s.name): s.value for s in metric.samples}


def test_a_value_counts_in_its_bucket_and_in_all_larger_ones() -> None:
    spread = Spread((1.0, 5.0))
    for value in (0.5, 1.0, 1.1, 7.0):
        spread.add(value)

    told = samples(histogram("tandem_x", "x", {(): spread}), "le")

    assert told == {
        "1.0": 2,
        "5.0": 3,
        "+Inf": 4,
        "tandem_x_count": 4,
        "tandem_x_sum": 9.6,
    }
    assert spread.count == 4


def test_the_largest_queues_have_series_of_their_own_and_the_others_share_one() -> None:
    queues = [
        pb.QueueStats(
            queue=f"q{number}",
            state=STATES[TaskState.PENDING],
            count=number,
            waiting_over_five_minutes=1,
        )
        for number in range(1, MOST_NAMES + 4)
    ]
    queues[0].oldest_age.FromSeconds(7)

    tasks, oldest, overdue, _ = of_queues(queues)

    told = samples(tasks, "queue")
    assert len(told) == MOST_NAMES + 1
    assert (told[OTHERS], told["q4"]) == (1 + 2 + 3, 4)
    assert samples(oldest, "queue")[OTHERS] == 7
    assert samples(overdue, "queue")[OTHERS] == 3


async def test_nothing_listens_unless_it_is_wanted() -> None:
    async def read() -> list[Metric]:
        raise AssertionError("nobody may ask")

    before = threading.active_count()
    async with scraped(Settings(database_url=URL, listen="127.0.0.1:0"), read):
        assert threading.active_count() == before
