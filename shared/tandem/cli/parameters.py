"""Values of options, from what was typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from google.protobuf import struct_pb2

from tandem import wire
from tandem.access import Scope, parse_scope
from tandem.pruning.retention import span
from tandem.v1 import task_pb2


class Payload(click.ParamType[struct_pb2.Struct]):
    """A JSON object: as text, in a file (`@path`), or on standard input (`-`)."""

    name = "json|@file|-"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> struct_pb2.Struct:
        if isinstance(value, struct_pb2.Struct):
            return value
        try:
            parsed = json.loads(_text(value))
        except (ValueError, OSError) as error:
            self.fail(f"is not JSON: {error}", param, ctx)
        if not isinstance(parsed, dict):
            self.fail("must be a JSON object: {...}", param, ctx)
        try:
            return wire.to_struct(parsed)
        except (ValueError, TypeError, OverflowError) as error:
            self.fail(f"cannot be sent: {error}", param, ctx)


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601; without a zone it is UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            self.fail("must be like 2031-05-01T12:00:00Z", param, ctx)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


class Seconds(click.ParamType[timedelta]):
    """A length of time. The service knows how long it may be."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        try:
            return timedelta(seconds=float(value))
        except (ValueError, OverflowError):
            self.fail(f"must be a number of seconds, not {value!r}", param, ctx)


class Span(click.ParamType[timedelta]):
    """`7d`, `12h`, `90s`."""

    name = "span"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        try:
            return value if isinstance(value, timedelta) else span(value)
        except ValueError as fault:
            self.fail(str(fault), param, ctx)


class ScopeType(click.ParamType[Scope]):
    """`create:billing`, `read:*`."""

    name = "scope"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Scope:
        try:
            return parse_scope(value)
        except ValueError as fault:
            self.fail(str(fault), param, ctx)


def labels(
    context: click.Context, option: click.Parameter, values: Iterable[str]
) -> dict[str, str]:
    """`key=value`, any number of times."""
    pairs = [value.partition("=") for value in values]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise click.BadParameter("must be key=value", context, option)
    return {key: value for key, _, value in pairs}


def retry_policy(
    max_attempts: int | None, attempt_timeout: timedelta | None
) -> task_pb2.RetryPolicy | None:
    if max_attempts is None and attempt_timeout is None:
        return None
    return task_pb2.RetryPolicy(
        max_attempts=max_attempts or 0,
        attempt_timeout=wire.duration(attempt_timeout),
    )


def _text(value: str) -> str:
    if value == "-":
        return sys.stdin.read()
    if value.startswith("@"):
        return Path(value[1:]).read_text(encoding="utf-8")
    return value
