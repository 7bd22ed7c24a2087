"""Spans by way of OpenTelemetry to a collector. Needs the extra `traces`.

Where to, and how many, is said by OpenTelemetry's own variables:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from importlib.metadata import version
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import structlog
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tandem.spans import NOTHING, Kind, Values

log = structlog.get_logger()

FLUSH_SECONDS: Final = 5.0
"""How long a process that stops waits for its last spans to be taken."""

CUT_SECONDS: Final = 0.5
"""How long it waits for their end once they were cut off."""

LINE_SECONDS: Final = 60.0
"""Between two lines about spans that nobody took."""

PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")

# It repeats malformed headers, and in headers are passwords.
INDISCREET: Final = "opentelemetry.util"
# It logs each try.
REPETITIVE: Final = "opentelemetry.exporter"
# It logs that its queue is full, and nothing else that matters.
QUEUE: Final = "opentelemetry.sdk._shared_internal"

KINDS: Final = MappingProxyType(
    {
        Kind.SERVER: trace.SpanKind.SERVER,
        Kind.CONSUMER: trace.SpanKind.CONSUMER,
        Kind.INTERNAL: trace.SpanKind.INTERNAL,
    }
)

_propagator: Final = TraceContextTextMapPropagator()


class ExportedSpan:
    """A span of OpenTelemetry, in Tandem's words for it."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._before: Token[Context] | None = None

    def note(self, values: Values) -> None:
        self._span.set_attributes(values)

    def mark(self, name: str, values: Values = NOTHING) -> None:
        # A handler may go on after its attempt is over.
        if self._span.is_recording():
            self._span.add_event(name, values)

    def fail(self, reason: str) -> None:
        self._span.set_attribute("error.type", reason)
        self._span.set_status(trace.StatusCode.ERROR)

    def enter(self) -> None:
        self._before = attach(trace.set_span_in_context(self._span))

    def end(self) -> None:
        self._span.end()

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What is thrown away unfinished is so in somebody else's context.
        if self._before is not None and kind is not GeneratorExit:
            detach(self._before)
        if kind is not None:
            self.fail(kind.__name__)
        self.end()


class Telemetry:
    """The spans of this process, and their way out of it."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._provider = TracerProvider(
            resource=Resource.create(_attributes(service, os.environ)),
            shutdown_on_exit=False,
        )
        # A bounded queue: what does not fit is dropped, and nobody waits.
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tandem", version("tandem-tasks"))

    def take_all(self) -> None:
        """Spans that handlers make themselves go the same way from here on."""
        trace.set_tracer_provider(self._provider)

    def begin(
        self, name: str, kind: Kind, values: Values, parent: str | None = None
    ) -> ExportedSpan:
        context = None
        if parent is not None:
            context = _propagator.extract({"traceparent": parent}, Context())
        span = self._tracer.start_span(
            name, context, kind=KINDS[kind], attributes=values
        )
        return ExportedSpan(span)

    def close(self, within: float = FLUSH_SECONDS) -> None:
        """Send what waits, for so many seconds at most."""
        flush = threading.Thread(target=self._provider.shutdown, daemon=True)
        flush.start()
        flush.join(within)
        if flush.is_alive():
            # It cuts off what is being sent, and what waits to be sent again.
            self._exporter.shutdown()
            flush.join(CUT_SECONDS)


class PatientExporter(SpanExporter):
    """Tells of spans that were not taken, one line a minute; nothing else comes of it."""

    def __init__(
        self, exporter: SpanExporter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._exporter = exporter
        self._clock = clock
        self._lock = threading.Lock()
        self._lost = 0
        self._quiet_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        why = "not taken"
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - no defect of it may end the exporting
            result, why = SpanExportResult.FAILURE, type(error).__name__
        if result is not SpanExportResult.SUCCESS:
            self._tell(len(spans), why)
        return result

    def hear(self, _: logging.LogRecord) -> bool:
        """A filter of the queue's log: what it has to say is told here."""
        self._tell(1, "queue full")
        return False

    def _tell(self, lost: int, why: str) -> None:
        with self._lock:
            self._lost += lost
            now = self._clock()
            if now < self._quiet_until:
                return
            told, self._lost = self._lost, 0
            self._quiet_until = now + LINE_SECONDS
        log.warning("traces not exported", spans=told, why=why)

    def shutdown(self) -> None:
        self._exporter.shutdown()


def start(service: str) -> Telemetry:
    """Spans of this process to the collector that the environment names.

    Raises:
        ValueError: the environment's variables for it cannot be.
    """
    for name in PROTOCOLS:
        if os.environ.get(name, "grpc") not in {"grpc", ""}:
            raise ValueError(f"{name} must be grpc: no other protocol is built in")
    logging.getLogger(INDISCREET).setLevel(logging.CRITICAL)
    exporter = PatientExporter(OTLPSpanExporter())
    logging.getLogger(REPETITIVE).setLevel(logging.CRITICAL)
    logging.getLogger(QUEUE).addFilter(exporter.hear)
    telemetry = Telemetry(service, exporter)
    telemetry.take_all()
    return telemetry


def _attributes(service: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Of this process; those in the environment come before them."""
    given = environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    ours = {
        "service.name": f"tandem-{service}",
        "service.version": version("tandem-tasks"),
        "service.instance.id": str(uuid4()),
    }
    if environ.get("OTEL_SERVICE_NAME"):
        del ours["service.name"]
    return {key: value for key, value in ours.items() if f"{key}=" not in given}
