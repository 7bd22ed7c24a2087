"""The table of log events is what the source logs, and the source tells it."""

from __future__ import annotations

import ast

import pytest

from tests.support.log_calls import Call, calls_in
from tests.support.log_events import bound_fields, logged_events
from tests.support.operations import fields_of_all_events, listed_events

OF_EVERY_LINE = {"event", "level", "timestamp", "service"}

OF_LIBRARIES = {"logger"}


def test_the_table_of_log_events_is_what_the_source_logs() -> None:
    # As a set, a fault shows the rows that differ, and none of the others.
    assert listed_events().items() ^ logged_events().items() == set()


def test_what_is_bound_to_lines_is_named_above_the_table() -> None:
    bound = bound_fields()

    assert {"task_id", "request_id", "processor_id"} <= bound
    assert fields_of_all_events() == OF_EVERY_LINE | OF_LIBRARIES | bound


def calls(source: str) -> list[Call]:
    return list(calls_in(ast.parse(f"log = get_logger()\n{source}"), "module"))


def test_fields_are_read_from_bound_loggers_and_unpacked_literals() -> None:
    found = calls(
        """
def _line(ids): return log.bind(ids=ids)
def figures(): return {"made": 1, "refused": 2}
def tell(**more): log.info("told", **more)
_line(1).warning("bad", why="x", exc_info=error)
log.exception("worse %s", 1)
self.log.error("so far", **figures())
tell(name=1)
task.exception()
"""
    )

    assert {call.event: (call.level, set(call.fields)) for call in found} == {
        "told": ("info", {"name"}),
        "bad": ("warning", {"why", "exception"}),
        "worse …": ("error", {"exception"}),
        "so far": ("error", {"made", "refused"}),
    }


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("log.info(name)", "module:2: the name of the event is no constant"),
        ("log.info(f'{name}')", "module:2: the name of the event is no constant"),
        ("log.info(event='name')", "module:2: the name of the event is no constant"),
        ("log.info('name', **given)", "module:2: the source does not tell what"),
        ("log.warn('name')", "module:2: what does warn log?"),
    ],
)
def test_a_line_that_the_source_does_not_tell_is_a_fault(
    source: str, fault: str
) -> None:
    with pytest.raises(AssertionError, match=fault.replace("?", r"\?")):
        calls(source)
