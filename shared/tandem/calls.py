"""Around every call: its caller, one log line, and the one place where errors become statuses.

A wrapper around each handler, not an interceptor: each interceptor of grpc.aio
costs 10 to 15 % of the calls that a process can serve.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn

import asyncpg
import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from tandem.allowances import Allowances
from tandem.authentication.door import Context, Door
from tandem.call_spans import note_outcome, traced
from tandem.entering import Entry
from tandem.errors import (
    InvalidRequest,
    StoreRefused,
    StoreUnavailable,
    TandemError,
)
from tandem.measures import CallCounts, MethodCounts
from tandem.permissions import RULES

log = structlog.get_logger()

Unary = Callable[[Any, Context], Awaitable[Message]]
Stream = Callable[[Any, Context], AsyncIterator[Message]]
Take = Callable[[Any, Context], Awaitable[Any]]

TAKE_LIMIT: Final = 60.0
"""Seconds from the beginning of a call until its message must be there."""

DEFECT: Final = "DEFECT: a defect of Tandem, written to its log"

STORE_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # A session that Postgres ended while it was idle says so until its end is read.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    # A role that lost its password or its database in a rollout gets it back.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
"""Faults of the environment: nothing that this request could have done otherwise."""

STORE_REFUSED: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)


@dataclass(frozen=True, slots=True)
class Malformed:
    """Stands for a request whose bytes are no message of its type."""


def guarded(
    parse_whole: Callable[[bytes], Message],
) -> Callable[[bytes], Message | Malformed]:
    """A deserializer that never raises: grpcio would answer UNKNOWN with its words."""

    def parse(data: bytes) -> Message | Malformed:
        try:
            return parse_whole(data)
        except DecodeError:
            return Malformed()

    return parse


def handlers(
    servicer: object,
    service: ServiceDescriptor,
    counts: CallCounts,
    *,
    door: Door | None = None,
    allowances: Allowances | None = None,
) -> grpc.GenericRpcHandler:
    """Every method of the service, each wrapped and counted, as one handler for a server.

    Raises:
        KeyError: nobody has said what one of the methods needs.
    """
    methods: Mapping[str, grpc.RpcMethodHandler[Any, Any]] = {
        method.name: _handler(
            getattr(servicer, method.name),
            method,
            counts,
            Entry(door, RULES[method.full_name], allowances),
        )
        for method in service.methods
    }
    return grpc.method_handlers_generic_handler(service.full_name, dict(methods))


def _handler(
    behaviour: Callable[..., Any],
    method: MethodDescriptor,
    counts: CallCounts,
    entry: Entry,
) -> grpc.RpcMethodHandler[Any, Any]:
    is_stream = method.client_streaming or method.server_streaming
    record = _Record(method.name, counts.add_method(method.name, is_stream=is_stream))
    # On the wire one message is a stream of one. Taken as such it can wait for its
    # caller to be known: gRPC would take in 4 MiB at a time from anybody. It costs a
    # quarter of a call, so it is done only where callers are asked who they are.
    is_stream_of_one = entry.asks and not method.client_streaming
    takes = method.client_streaming or is_stream_of_one
    make = _MAKERS[takes, method.server_streaming]
    wrap = _answers if method.server_streaming else _answer
    take = _only if is_stream_of_one else _each if takes else _given
    handler: grpc.RpcMethodHandler[Any, Any] = make(
        traced(wrap(behaviour, take, record, entry), method),
        request_deserializer=guarded(GetMessageClass(method.input_type).FromString),
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )
    return handler


@dataclass(frozen=True, slots=True)
class _Record:
    """The end of a call of this method: one line, and one more in its counts."""

    method: str
    counts: MethodCounts

    def __call__(self, outcome: str, start: float) -> None:
        seconds = time.monotonic() - start
        self.counts.end(outcome, seconds)
        note_outcome(outcome)
        log.info(
            "call",
            method=self.method,
            outcome=outcome,
            ms=round(seconds * 1000, 3),
        )


def _answer(behaviour: Unary, take: Take, record: _Record, entry: Entry) -> Unary:
    async def answer(requests: Any, context: Context) -> Message:
        start = time.monotonic()
        try:
            await entry.admit(context)
            request = await take(requests, context)
            entry.permit(request)
            response = await behaviour(request, context)
        except asyncio.CancelledError:
            record("CANCELLED", start)
            raise
        except Exception as error:  # noqa: BLE001 - the one place that knows them all
            await _fail(error, record, context, start)
        record("OK", start)
        return response

    return answer


def _answers(behaviour: Stream, take: Take, record: _Record, entry: Entry) -> Stream:
    async def answers(requests: Any, context: Context) -> AsyncIterator[Message]:
        start = time.monotonic()
        record.counts.open += 1
        try:
            await entry.admit(context)
            stay = entry.stay(context)
            with entry.streaming():
                request = await take(requests, context)
                entry.permit(request)
                async for response in behaviour(request, context):
                    await stay.prolong()
                    yield response
        except (asyncio.CancelledError, GeneratorExit):
            record("CANCELLED", start)
            raise
        except Exception as error:  # noqa: BLE001 - the one place that knows them all
            await _fail(error, record, context, start)
        finally:
            record.counts.open -= 1
        record("OK", start)

    return answers


async def _given(request: Any, _: Context) -> Any:
    """The one message of the caller, which gRPC has taken in already."""
    return _parsed(request)


async def _only(_: Any, context: Context) -> Any:
    """The one message of the caller, which is taken in now."""
    try:
        async with asyncio.timeout(TAKE_LIMIT):
            return _parsed(await context.read())
    except TimeoutError as error:
        raise InvalidRequest(
            f"the message did not arrive within {TAKE_LIMIT:.0f} s"
        ) from error


async def _each(requests: Any, _: Context) -> Any:
    """The messages of the caller, which are taken in one by one."""
    return (_parsed(request) async for request in requests)


def _parsed(request: Any) -> Any:
    if request is grpc.aio.EOF or isinstance(request, Malformed):
        raise InvalidRequest("the bytes sent are not a message of this method")
    return request


_MAKERS: Final[Mapping[tuple[bool, bool], Callable[..., Any]]] = MappingProxyType(
    {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
)
"""By whether messages are taken in as a stream, and whether they are answered by one."""


async def _fail(
    error: Exception, record: _Record, context: Context, start: float
) -> NoReturn:
    known = translate(error)
    if known is None:
        log.error("call failed by a defect", method=record.method, exc_info=error)
        record("DEFECT", start)
        await context.abort(grpc.StatusCode.INTERNAL, DEFECT)
    if "task_id" in known.metadata:
        structlog.contextvars.bind_contextvars(task_id=known.metadata["task_id"])
    record(known.reason, start)
    await context.abort(known.code, known.told, known.trailers())


def translate(error: Exception) -> TandemError | None:
    """What the caller is told of this exception; None where it is a defect of ours."""
    if isinstance(error, TandemError):
        return error
    if isinstance(error, STORE_REFUSED):
        return StoreRefused("the database refused the request; nothing was stored")
    if isinstance(error, STORE_AWAY):
        log.warning("database unavailable", error=type(error).__name__)
        return StoreUnavailable(
            "the database did not answer; send the same request again"
        )
    return None
