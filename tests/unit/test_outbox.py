"""What is recorded, how statements are written, and what a round makes of failures."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest

from tandem.client import (
    CallFailed,
    Client,
    Created,
    InvalidCredentials,
    Outcome,
    Spec,
    TimedOut,
    request_id_from,
)
from tandem.errors import (
    InvalidRequest,
    Overloaded,
    RateLimited,
    RequestIdReused,
    TandemError,
)
from tandem.outbox import Failed, Outbox, Relay, Relayed, statements
from tandem.outbox.paramstyles import given, style_of, written
from tandem.outbox.recorded import Recorded
from tandem.outbox.rounds import MAX_ATTEMPTS, Round
from tandem.v1 import task_pb2

WHOLE = Spec(
    project="shop",
    type="email",
    payload={"n": 7, "half": 0.5, "list": [None, True, {"a": "ä"}]},
    external_id="order-7",
    title="tea",
    labels={"a": "b"},
    queue="mail",
    priority="high",
    not_before_time=datetime(2031, 5, 1, tzinfo=UTC),
    max_attempts=3,
    initial_backoff=timedelta(seconds=1.5),
)

AWAY = [
    Overloaded("too many"),
    RateLimited("too often"),
    CallFailed("later", code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="NEWER"),
    TimedOut("late", code=grpc.StatusCode.DEADLINE_EXCEEDED),
    CallFailed("who?", code=grpc.StatusCode.UNAUTHENTICATED),
    InvalidCredentials("no token"),
]
UNEXPLAINED = CallFailed("boom", code=grpc.StatusCode.INTERNAL)
REFUSED = RequestIdReused("spent")
TOO_LONG = CallFailed(
    "SERVER: Received message larger than max (70000 vs. 65536)",
    code=grpc.StatusCode.RESOURCE_EXHAUSTED,
)
EXHAUSTED = CallFailed("quota", code=grpc.StatusCode.RESOURCE_EXHAUSTED)


def a_row(**values: Any) -> Recorded:
    row = Outbox("sqlite").row(Spec(project="shop", type="email"))
    return Recorded(
        **{"key": row["request_id"], "text": row["request"], "attempts": 0, **values}
    )


def sent_by(
    rows: list[Recorded], failures: dict[str, TandemError]
) -> tuple[Round, list[list[str]]]:
    """A round whose calls fail by the first row in them that has a failure."""
    round_, sent = Round(rows, limit=100), []
    for requests in round_.sends():
        ids = [request.request_id for request in requests]
        sent.append(ids)
        failure = next((failures[each] for each in ids if each in failures), None)
        if failure:
            round_.failed(requests, failure)
        else:
            round_.made(requests, [made(each) for each in ids])
    return round_, sent


def made(request_id: str) -> Created:
    task = task_pb2.Task()
    return Created(task=task, outcome=Outcome.CREATED, request_id=request_id)


def test_a_row_is_the_create_that_the_client_would_send() -> None:
    row = Outbox("sqlite").row(WHOLE, request_id="order 7", reject_existing=True)

    request = Recorded(row["request_id"], row["request"], 0).request()

    assert request.spec == WHOLE.to_wire()
    assert request.request_id == row["request_id"] == request_id_from("order 7")
    assert request.external_id_policy == request.EXTERNAL_ID_POLICY_REJECT
    assert json.loads(row["request"])["spec"]["payload"] == WHOLE.payload


def test_p10_a_bad_spec_is_refused_before_it_is_recorded() -> None:
    bad = Spec(
        project="", type="no spaces", labels={"a": "x" * 256}, payload={"n": 2**60}
    )

    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(InvalidRequest) as refused,
    ):
        Outbox("sqlite").record(connection, bad)

    assert {violation.field for violation in refused.value.violations} == {
        "spec.project",
        "spec.type",
        'spec.labels["a"]',
        "spec.payload.n",
    }


def test_p10_the_nil_id_is_refused_before_it_is_recorded() -> None:
    with pytest.raises(InvalidRequest, match="request_id must not be the nil UUID"):
        Outbox("sqlite").row(WHOLE, request_id=UUID(int=0))


def test_an_id_is_read_however_an_orm_stores_it() -> None:
    request_id = uuid4()

    row = a_row(key=request_id.hex)

    round_, _ = sent_by([row], {})
    assert row.request().request_id == str(request_id)
    assert dict(round_.writes())[statements.STRIKE_OFF] == [(request_id.hex,)]


@pytest.mark.parametrize(
    ("style", "text", "values"),
    [
        ("qmark", "SET a = ? WHERE b = ?", (7, 8)),
        ("numeric", "SET a = :1 WHERE b = :2", (7, 8)),
        ("named", "SET a = :p1 WHERE b = :p2", {"p1": 7, "p2": 8}),
        ("format", "SET a = %s WHERE b = %s", (7, 8)),
        ("pyformat", "SET a = %(p1)s WHERE b = %(p2)s", {"p1": 7, "p2": 8}),
    ],
)
def test_parameters_are_written_as_the_driver_wants_them(
    style: Any, text: str, values: Any
) -> None:
    assert written("SET a = $1 WHERE b = $2", style) == text
    assert given([7, 8], style) == values


def test_the_driver_tells_its_paramstyle() -> None:
    class Mine(sqlite3.Connection):
        pass

    with closing(sqlite3.connect(":memory:", factory=Mine)) as connection:
        assert style_of(connection) == "qmark"
    assert style_of(object.__new__(psycopg.Connection)) == "pyformat"
    with pytest.raises(ValueError, match="give Outbox"):
        style_of(SimpleNamespace())


@pytest.mark.parametrize("style", ["qmark", "numeric", "named"])
def test_a_style_that_is_given_wins(style: Any) -> None:
    outbox = Outbox("sqlite", table="mine", paramstyle=style)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(outbox.schema())
        request_id = outbox.record(connection, WHOLE)

        (row,) = outbox.read(connection, limit=9)
        (index,) = connection.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'mine%' AND type = 'index'"
        )

    assert (row.request_id, index) == (request_id, ("mine_due",))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dialect": "oracle"}, "use one of postgres, sqlite"),
        ({"table": "a; DROP TABLE b"}, "use letters, digits and _"),
        ({"paramstyle": "percent"}, "use one of qmark"),
    ],
)
def test_a_bad_setting_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Outbox(**{"dialect": "sqlite", **options})


@pytest.mark.parametrize("at", range(5))
def test_p10_a_refused_row_is_found_and_its_neighbours_keep_their_order(
    at: int,
) -> None:
    rows = [a_row() for _ in range(5)]
    ids = [row.request_id for row in rows]

    round_, sent = sent_by(rows, {ids[at]: REFUSED})

    relayed = round_.ended()
    assert [each.request_id for each in relayed.created] == ids[:at] + ids[at + 1 :]
    assert [(a.request_id, a.error) for a in relayed.set_aside] == [
        (ids[at], "REQUEST_ID_REUSED: spent")
    ]
    assert len(sent) <= 7


def test_p1_a_message_that_is_too_long_is_halved_and_goes_on() -> None:
    rows = [a_row() for _ in range(5)]
    round_ = Round(rows, limit=100)

    for requests in round_.sends():
        if len(requests) > 2:
            round_.failed(requests, TOO_LONG)
        else:
            round_.made(requests, [made(each.request_id) for each in requests])

    created = [each.request_id for each in round_.ended().created]
    assert created == [row.request_id for row in rows]


def test_a_row_that_is_too_long_alone_is_set_aside_at_once() -> None:
    rows = [a_row() for _ in range(3)]
    long, *others = (row.request_id for row in rows)

    round_, _ = sent_by(rows, {long: TOO_LONG})

    relayed = round_.ended()
    assert [each.request_id for each in relayed.created] == others
    assert [each.request_id for each in relayed.set_aside] == [long]
    assert "RESOURCE_EXHAUSTED: SERVER: Received" in relayed.set_aside[0].error


def test_what_is_exhausted_without_a_reason_is_tried_again_behind_the_others() -> None:
    rows = [a_row() for _ in range(3)]
    first, *others = (row.request_id for row in rows)

    round_, _ = sent_by(rows, {first: EXHAUSTED})

    relayed = round_.ended()
    assert [each.request_id for each in relayed.created] == others
    assert [each.request_id for each in relayed.failed] == [first]
    assert relayed.set_aside == []


@pytest.mark.parametrize("failure", AWAY, ids=lambda failure: type(failure).__name__)
def test_what_no_row_could_help_ends_the_round(failure: TandemError) -> None:
    rows = [a_row(), a_row()]

    round_, sent = sent_by(rows, {rows[0].request_id: failure})

    assert len(sent) == 1
    assert [parameters for _, parameters in round_.writes()] == [[], [], []]
    with pytest.raises(type(failure)):
        round_.ended()


def test_rows_that_fail_slow_a_relay_down_but_not_what_stands_before_them() -> None:
    failed, there = Failed("7", "boom"), made("8")

    assert Relayed(failed=[failed]).is_slowed
    assert Relayed(failed=[failed], created=[there]).is_slowed
    assert Relayed(failed=[failed], is_full=True).is_slowed
    assert not Relayed(failed=[failed], created=[there], is_full=True).is_slowed
    assert not Relayed(created=[there]).is_slowed


@pytest.mark.parametrize("batch", [0, 1001])
def test_a_batch_out_of_its_limits_is_refused(batch: int) -> None:
    with Client() as client, pytest.raises(ValueError, match="from 1 to 1,000"):
        Relay(
            Outbox("sqlite"), lambda: sqlite3.connect(":memory:"), client, batch=batch
        )


def test_an_unexplained_failure_is_counted_and_at_last_set_aside() -> None:
    new, old = a_row(), a_row(attempts=MAX_ATTEMPTS - 1)

    round_, _ = sent_by(
        [new, old], dict.fromkeys([new.request_id, old.request_id], UNEXPLAINED)
    )

    writes = dict(round_.writes())
    assert writes[statements.COUNT_ATTEMPT] == [(new.key,)]
    assert writes[statements.SET_ASIDE] == [("INTERNAL: boom", old.key)]
