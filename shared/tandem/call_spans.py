"""A span around each call, under that of its caller.

Attributes by OpenTelemetry's conventions for RPC servers:
https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from structlog.contextvars import get_contextvars

from tandem import spans
from tandem.spans import Kind, Span
from tandem.traceparents import sent_traceparent

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any, Context], Awaitable[Message]]
Stream = Callable[[Any, Context], AsyncGenerator[Message, None]]

FAULTS: Final = frozenset(
    {
        "UNKNOWN",
        "DEADLINE_EXCEEDED",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    }
)
"""Codes that are errors of a server. The others are its answer to an error of a caller."""

NOTED: Final = MappingProxyType(
    {
        "request_id": "tandem.request_id",
        "task_id": "tandem.task_id",
        "made": "tandem.made",
        "requested": "tandem.batch.size",
        "created": "tandem.batch.created",
        "replayed": "tandem.batch.replayed",
        "existing": "tandem.batch.existing",
    }
)
"""What stands on a call's log line stands on its span."""

_outcome: ContextVar[str] = ContextVar("_outcome", default="")


def note_outcome(outcome: str) -> None:
    """The call that is under way here has come to this."""
    if spans.are_on():
        _outcome.set(outcome)


def traced(behaviour: Callable[..., Any], method: MethodDescriptor) -> Any:
    """The same behaviour, with a span around each call; where traces are off, itself."""
    if not spans.are_on():
        return behaviour
    assert method.containing_service is not None
    name = f"{method.containing_service.full_name}/{method.name}"
    wrap = _traced_stream if method.server_streaming else _traced_unary
    return wrap(behaviour, name)


def _traced_unary(behaviour: Unary, name: str) -> Unary:
    async def answer(request: Any, context: Context) -> Message:
        span = _begin(name, context)
        try:
            return await behaviour(request, context)
        finally:
            _end(span, context)

    return answer


def _traced_stream(behaviour: Stream, name: str) -> Stream:
    async def answers(request: Any, context: Context) -> AsyncGenerator[Message, None]:
        span = _begin(name, context)
        try:
            # Closed first: whoever leaves a stream leaves this one, not that within.
            async with aclosing(behaviour(request, context)) as responses:
                async for response in responses:
                    yield response
        finally:
            _end(span, context)

    return answers


def _begin(name: str, context: Context) -> Span:
    """The call's span, current for what the call does: gRPC gives each a context."""
    values = {"rpc.system.name": "grpc", "rpc.method": name}
    parent = sent_traceparent(context.invocation_metadata())
    span = spans.begin(name, Kind.SERVER, values, parent)
    span.enter()
    return span


def _end(span: Span, context: Context) -> None:
    outcome = _outcome.get()
    # What its stubs do not say: None, unless the call was refused.
    refused: grpc.StatusCode | None = context.code()
    code = refused.name if refused else outcome
    bound = get_contextvars()
    noted = {there: bound[here] for here, there in NOTED.items() if here in bound}
    span.note({"rpc.response.status_code": code, "tandem.outcome": outcome, **noted})
    if code in FAULTS:
        span.fail(outcome)
    span.end()
