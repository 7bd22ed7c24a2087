"""How fast slots are freed."""

from __future__ import annotations

from tandem_processor.turnover import SPAN, Turnover


class Watch:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_ended_within_the_span_counts() -> None:
    turnover = Turnover(Watch())
    for _ in range(3):
        turnover.note(0.0)
    assert turnover.lately == 3


def test_the_last_span_counts_until_this_one_is_over() -> None:
    watch = Watch()
    turnover = Turnover(watch)
    for _ in range(3):
        turnover.note(0.0)
    watch.now += SPAN
    turnover.note(0.0)
    assert turnover.lately == 3
    watch.now += SPAN
    assert turnover.lately == 1


def test_what_took_longer_than_a_span_does_not_count() -> None:
    turnover = Turnover(Watch())
    turnover.note(SPAN * 1.1)
    turnover.note(SPAN)
    assert turnover.lately == 1


def test_after_a_pause_nothing_counts() -> None:
    watch = Watch()
    turnover = Turnover(watch)
    turnover.note(0.0)
    watch.now += 2 * SPAN
    assert turnover.lately == 0
    turnover.note(0.0)
    assert turnover.lately == 1
