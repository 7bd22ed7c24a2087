"""What went wrong is one line that says what to do; a defect keeps its traceback."""

from __future__ import annotations

import socket
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


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 5432)"),
        OSError("Multiple exceptions: [Errno 111], [Errno 111]"),
        socket.gaierror(-2, "Name or service not known"),
        FileNotFoundError(2, "No such file or directory"),  # of a socket
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_database_where_nothing_listens_comes_with_what_to_do(
    error: Exception,
) -> None:
    failure = describe(error)

    assert failure is not None
    assert "no PostgreSQL answers" in failure.line
    assert "start it there, or give the URL of one that runs" in failure.line


def test_a_file_that_cannot_be_used_is_named_and_no_database_is() -> None:
    failure = describe(FileNotFoundError(2, "No such file", "/nowhere/a.json"))

    assert failure is not None
    assert failure.line == "cannot use /nowhere/a.json: No such file"


def test_a_defect_is_no_failure_of_the_user_s() -> None:
    assert describe(KeyError("x")) is None
