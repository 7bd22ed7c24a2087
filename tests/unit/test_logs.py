from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import pytest
import structlog

from tandem import logs

URL = "postgresql://tandem_creator:secret@db:5432/tandem"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield io.StringIO()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:], root.level = before


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_away_from_a_terminal_is_json(out: io.StringIO) -> None:
    logs.configure("creator", out=out)

    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger().info("task created", task_id="t-1")

    (line,) = lines(out)
    assert line["event"] == "task created"
    assert line["service"] == "creator"
    assert line["level"] == "info"
    assert (line["request_id"], line["task_id"]) == ("r-1", "t-1")
    assert str(line["timestamp"]).endswith("Z")


def test_console_can_be_asked_for(out: io.StringIO) -> None:
    logs.configure("creator", form="console", out=out)

    structlog.get_logger().info("task created")

    assert "task created" in out.getvalue()
    assert not out.getvalue().startswith("{")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_password_never_reaches_a_line(out: io.StringIO, form: str) -> None:
    logs.configure("creator", form="json" if form == "json" else "console", out=out)

    failure = RuntimeError(f"cannot reach {URL}")
    structlog.get_logger().error("store unreachable", url=URL, exc_info=failure)

    assert "secret" not in out.getvalue()
    assert "tandem_creator" in out.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_password_that_is_cut_in_two_never_reaches_a_line(
    out: io.StringIO, form: Literal["json", "console"]
) -> None:
    logs.configure("processor", form=form, out=out)

    for before in range(logs.LONGEST_TEXT - 60, logs.LONGEST_TEXT):
        text = "x" * before + URL + "x" * logs.LONGEST_LINE
        structlog.get_logger().warning(text)

    assert "secr" not in out.getvalue()
    assert "tandem_creator" in out.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_is_raised_at_length_is_cut_and_still_names_itself(
    out: io.StringIO, form: Literal["json", "console"]
) -> None:
    logs.configure("processor", form=form, out=out)

    error = ValueError("x" * 10_000_000)
    structlog.get_logger().warning("handler failed", exc_info=error)

    assert "ValueError" in out.getvalue()
    assert len(out.getvalue()) <= logs.LONGEST_LINE + 1


def test_libraries_log_in_the_same_form(out: io.StringIO) -> None:
    logs.configure("processor", out=out)

    logging.getLogger("asyncio").warning("slow %s", "callback")
    logging.getLogger("asyncio").info("not worth a line")

    (line,) = lines(out)
    assert line["event"] == "slow callback"
    assert (line["service"], line["logger"]) == ("processor", "asyncio")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_text_that_no_encoding_takes_is_still_logged(
    out: io.StringIO, form: str
) -> None:
    raw = io.BytesIO()
    strict = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    logs.configure(
        "processor", form="json" if form == "json" else "console", out=strict
    )

    failure = ValueError("half a pair: \ud800")
    structlog.get_logger().warning("handler failed", exc_info=failure)

    assert b"half a pair: \\ud800" in raw.getvalue()


def test_an_answer_to_a_caller_who_was_gone_is_no_error(out: io.StringIO) -> None:
    logs.configure("creator", out=out)

    of_grpc = logging.getLogger("grpc._cython.cygrpc")
    of_grpc.error("ExecuteBatchError raised in core by servicer method [%s]", "/a")
    of_grpc.error("Unexpected [%s] raised by servicer method", "KeyError")

    (line,) = lines(out)
    assert "KeyError" in str(line["event"])


def test_a_line_that_nobody_can_read_any_more_harms_nobody(out: io.StringIO) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with (
        io.FileIO(writing, "w") as raw,
        io.TextIOWrapper(raw, write_through=True) as gone,
    ):
        logs.configure("creator", out=gone)

        structlog.get_logger().info("task created")
        logging.getLogger("grpc").warning("goodbye")


def test_a_password_with_an_at_sign_is_hidden_whole() -> None:
    hidden = logs.hide_passwords("to postgresql://me:sec@ret@db/a and a@b.example")

    assert hidden == "to postgresql://me:***@db/a and a@b.example"


@dataclass
class Login:
    """Shows less of itself than it holds."""

    name: str
    secret: str

    def __str__(self) -> str:
        return f"login of {self.name}"


def test_values_of_any_kind_are_logged(out: io.StringIO) -> None:
    logs.configure("processor", out=out)
    log = structlog.get_logger()

    log.info("plain", none=None, ratio=float("nan"), pair=(1, "b"), by_number={1: "a"})
    log.info("own", login=Login("ann", "s3cret"), when=timedelta(seconds=1))
    log.info("odd", half="\ud83d", huge=1 << 70)

    plain, own, odd = lines(out)
    assert plain["pair"] == [1, "b"]
    assert plain["by_number"] == {"1": "a"}
    assert (own["login"], own["when"]) == ("login of ann", "0:00:01")
    assert (odd["half"], odd["huge"]) == ("\ud83d", 1 << 70)
