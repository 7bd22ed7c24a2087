"""What went wrong is one line that says what to do; a defect keeps its traceback."""

from __future__ import annotations

from typing import Any

import asyncpg
import click
import grpc
import pytest

from tandem.cli.failures import call_failed, describe
from tandem.errors import TaskNotFound
from tandem.processes import DidNotServe


class Refused(grpc.RpcError):
    """A failed call as grpc shows it."""

    def __init__(self, code: grpc.StatusCode, trailers: object = ()) -> None:
        self._code, self._trailers = code, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "details"

    def trailing_metadata(self) -> Any:
        return self._trailers


def test_a_refusal_is_told_in_the_service_s_words() -> None:
    error = Refused(grpc.StatusCode.NOT_FOUND, TaskNotFound("no such task").trailers())
    told = call_failed(error, service="processor", address="a:1")
    assert str(told) == "TASK_NOT_FOUND: no such task"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.UNAVAILABLE, "no creator answers at a:1"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "repeat the command with the same"),
        (grpc.StatusCode.INTERNAL, "INTERNAL: details"),
    ],
)
def test_a_call_that_nobody_explained_is_explained(
    code: grpc.StatusCode, words: str
) -> None:
    assert words in str(call_failed(Refused(code), service="creator", address="a:1"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (call_failed(Refused(grpc.StatusCode.INTERNAL), service="x", address="y"), 1),
        (click.UsageError("no\nsuch option"), 2),
        (DidNotServe("creator-1 ended\nsoon"), 2),
        (ConnectionRefusedError(111, "refused"), 2),
        (asyncpg.InvalidPasswordError("wrong"), 2),
        (asyncpg.CannotConnectNowError("starting up"), 2),
    ],
)
def test_a_failure_is_one_line_with_its_exit_code(error: Exception, code: int) -> None:
    failure = describe(error)
    assert failure is not None
    assert failure.code == code
    assert "\n" not in failure.line


def test_a_defect_is_no_failure_of_the_user_s() -> None:
    assert describe(KeyError("x")) is None
