"""A collector of OpenTelemetry's protocol, on a free port, that keeps what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.until import until


@dataclass(frozen=True, slots=True)
class Told:
    """One span, and the process that it is of."""

    service: str
    span: trace_pb2.Span

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def values(self) -> dict[str, Any]:
        return values_of(self.span.attributes)

    @property
    def marks(self) -> list[str]:
        return [event.name for event in self.span.events]

    @property
    def is_error(self) -> bool:
        return self.span.status.code == trace_pb2.Status.STATUS_CODE_ERROR


def values_of(attributes: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value"))
        for each in attributes
    }


@dataclass(slots=True)
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What came, in the order of the beginnings of the spans."""

    address: str = ""
    told: list[Told] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        """What a service is told so that its traces come here."""
        return {
            "TANDEM_TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self.address}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    async def Export(self, request: Any, context: Any) -> Any:
        self.headers.append(dict(context.invocation_metadata()))
        self.told += _told(request)
        self.told.sort(key=lambda told: told.span.start_time_unix_nano)
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace_id: str) -> list[Told]:
        """The spans of this trace."""
        return [told for told in self.told if told.trace_id == trace_id]

    async def whole(self, trace_id: str, count: int) -> list[Told]:
        """The spans of this trace, once so many are there."""

        async def are_there() -> list[Told]:
            found = self.of(trace_id)
            return found if len(found) >= count else []

        return await until(are_there, seconds=30)

    async def first(self, name: str) -> Told:
        """The first span of this name, once it is there."""

        async def is_there() -> list[Told]:
            return [told for told in self.told if told.span.name == name]

        return (await until(is_there, seconds=30))[0]


def _told(request: Any) -> Iterator[Told]:
    for resource in request.resource_spans:
        service = values_of(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            yield from (Told(service, span) for span in scope.spans)


def outline(told: list[Told], parent_id: str) -> list[str]:
    """The tree under this span, a line for each, indented by its depth."""
    lines: list[str] = []
    for each in told:
        if each.parent_id == parent_id:
            lines.append(each.span.name)
            lines += [f"  {line}" for line in outline(told, each.span_id)]
    return lines


@asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = grpc.aio.server()
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(collector, server)
    collector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(0)
