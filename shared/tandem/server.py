"""A gRPC server from start to drained stop, with health and reflection."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tandem import calls, limits
from tandem.allowances import Allowances
from tandem.authentication.door import Door
from tandem.borrowed import Borrowing, Health, reflecting
from tandem.measures import CallCounts

log = structlog.get_logger()

MOST_UNTAKEN: Final = 50_000
"""Calls that have arrived and that Python has not begun: more than it begins in ten seconds."""

MOST_CONNECTIONS: Final = 10_000
"""Of clients at once, where the process may open so many files."""

OTHER_FILES: Final = 200
"""Files that clients leave to the database, the log, keys and certificates."""

MOST_STREAMS: Final = 5_000
"""Of one connection at once. With a bound gRPC slows down whoever begins calls and drops
them (rapid reset). A lower one refuses an honest burst: near it calls are `UNAVAILABLE`."""

OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.max_send_message_length", limits.MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # Without it a dead path is noticed after a minute, whatever keepalive says.
    ("grpc.http2.ping_timeout_ms", 3_000),
    # A stream may have nothing to say for as long as nothing is created.
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 2_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", MOST_STREAMS),
    # Past 1,000 that wait to be taken up gRPC answers some with CANCELLED, which says
    # nothing, and which nobody repeats. Whoever is too many is told so by the service.
    ("grpc.server.max_pending_requests", MOST_UNTAKEN),
    ("grpc.server.max_pending_requests_hard_limit", MOST_UNTAKEN),
)

LEASH: Final = "TANDEM_LEASH"
"""The variable that makes the end of standard input a signal to stop."""


class PortTaken(Exception):
    """The address cannot be listened on."""

    def __init__(self, listen: str) -> None:
        super().__init__(
            f"cannot listen on {listen}: it is in use, or no address of this machine;"
            " stop what listens there, or listen on another one"
        )


class Server:
    """One service on one address."""

    def __init__(
        self,
        servicer: object,
        service: ServiceDescriptor,
        *,
        listen: str,
        share_port: bool = False,
        credentials: grpc.ServerCredentials | None = None,
        door: Door | None = None,
        allowances: Allowances | None = None,
        message_bytes: int = limits.MAX_MESSAGE_BYTES,
    ) -> None:
        """Not listening yet.

        Args:
            servicer: has a method for each of the service's.
            service: as the contract describes it.
            listen: host:port; port 0 takes a free one.
            share_port: whether other processes of this user listen there, too.
            credentials: for TLS; None: in the clear.
            door: names callers; None: everybody may do everything.
            allowances: how much each caller may ask for.
            message_bytes: the longest message that is taken.
        """
        self._service = service
        self._listen = listen
        self._credentials = credentials
        self.is_serving = False
        """What health says."""

        self.counts = CallCounts()
        self._health = Health()
        # Off, or a second server on the same port would bind silently.
        reuse = ("grpc.so_reuseport", int(share_port))
        longest = ("grpc.max_receive_message_length", message_bytes)
        crowd = ("grpc.max_allowed_incoming_connections", most_connections())
        self._server = grpc.aio.server(options=(*OPTIONS, longest, crowd, reuse))
        add = partial(self._add, door=door, allowances=allowances)
        add(servicer, service, self.counts)
        borrowing: Any = Borrowing(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, borrowing)
        reflected: Any = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
        add(reflecting(self._names()), reflected, CallCounts())

    def _add(
        self,
        servicer: object,
        service: ServiceDescriptor,
        counts: CallCounts,
        *,
        door: Door | None,
        allowances: Allowances | None,
    ) -> None:
        handlers = calls.handlers(
            servicer, service, counts, door=door, allowances=allowances
        )
        self._server.add_generic_rpc_handlers((handlers,))

    def _names(self) -> tuple[str, ...]:
        described = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        return (self._service.full_name, described, reflection.SERVICE_NAME)

    async def start(self) -> int:
        """Listen; not yet serving as health sees it. Answers the port.

        Raises:
            PortTaken: somebody else has the address.
        """
        try:
            port = self._bind()
        except RuntimeError as error:
            raise PortTaken(self._listen) from error
        await self.set_serving(serving=False)
        await self._server.start()
        return port

    def _bind(self) -> int:
        if self._credentials is None:
            return self._server.add_insecure_port(self._listen)
        return self._server.add_secure_port(self._listen, self._credentials)

    async def set_serving(self, *, serving: bool) -> None:
        """Say in health whether calls can succeed now."""
        self.is_serving = serving
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ("", self._service.full_name):
            await self._health.set(name, status)

    async def stop(self, grace: float) -> None:
        """Refuse new calls at once; let those in flight end within `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


def most_connections() -> int:
    """Whoever comes when there are so many is turned away, and may come again."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(MOST_CONNECTIONS, soft - OTHER_FILES), 1)


def stop_signal(
    numbers: Iterable[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
) -> asyncio.Event:
    """An event that is set by the first SIGTERM or SIGINT.

    Also by the end of standard input, where `TANDEM_LEASH` is set: whoever started
    this process holds the other end, and has died without a word.
    """
    stop = asyncio.Event()
    noted: Callable[[], None] = stop.set
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, noted)
    if os.environ.get(LEASH):
        loop.add_reader(sys.stdin.fileno(), _hold_leash, loop, stop)
    return stop


def _hold_leash(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()
