"""The span of an attempt, under that of the call that created its task.

Attributes by OpenTelemetry's conventions for consumers of messages:
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

from typing import Final

from tandem import limits, spans
from tandem.outcomes import Claimed
from tandem.spans import NO_SPAN, Kind, Span, Values

WELL: Final = frozenset({"SUCCEEDED", "CANCELLED", "GIVEN_BACK"})
"""Ends that are no errors."""


def begin_attempt(claimed: Claimed) -> Span:
    """Begun with the claim. Its owner ends it, once the report is kept."""
    if not spans.are_on():
        return NO_SPAN
    values: Values = {
        "messaging.system": "tandem",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": claimed.queue,
        "messaging.consumer.group.name": limits.WORKERS,
        "messaging.message.id": str(claimed.task_id),
        "tandem.task_id": str(claimed.task_id),
        "tandem.request_id": str(claimed.request_id),
        "tandem.project": claimed.project,
        "tandem.type": claimed.type,
        "tandem.attempt": claimed.attempt,
        "tandem.claim": claimed.claim,
        "tandem.age": claimed.age,
    }
    name = f"process {claimed.queue}"
    return spans.begin(name, Kind.CONSUMER, values, claimed.trace_context or "")


def end_attempt(span: Span, outcome: str) -> None:
    """The outcome is the word that the log has for it."""
    span.note({"tandem.outcome": outcome})
    if outcome not in WELL:
        span.fail(outcome)
    span.end()
