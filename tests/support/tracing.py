"""Programs that trace their work, as their calls show."""

from __future__ import annotations

from secrets import token_hex

from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

from tandem.client import AsyncClient
from tandem.pair import Pair


def client_of(pair: Pair) -> AsyncClient:
    return AsyncClient(pair.creator_address, pair.processor_address or "127.0.0.1:9")


def a_traceparent(flags: str = "01") -> str:
    return f"00-{token_hex(16)}-{token_hex(8)}-{flags}"


def ids_in(traceparent: str) -> tuple[str, str]:
    """The trace and the span."""
    _, trace_id, span_id, _ = traceparent.split("-")
    return trace_id, span_id


def span_of(traceparent: str) -> Span:
    """The span that the caller would send this for."""
    trace_id, span_id = ids_in(traceparent)
    flags = TraceFlags(int(traceparent[-2:], 16))
    return NonRecordingSpan(
        SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags
        )
    )
