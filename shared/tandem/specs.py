"""From the words of a TaskSpec to plain values, with every fault named."""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from tandem import limits, wire
from tandem.v1 import task_pb2
from tandem.violations import Violations

NOTHING: Final = timedelta(0)

SHORTEST_TIMEOUT: Final = timedelta(milliseconds=1)
"""An attempt that may take no time at all could never succeed."""

PRIORITIES: Final = frozenset(task_pb2.Priority.values())

SPAN_LIMITS: Final = MappingProxyType(
    {
        "initial_backoff": (NOTHING, limits.MAX_BACKOFF),
        "max_backoff": (NOTHING, limits.MAX_BACKOFF),
        "attempt_timeout": (SHORTEST_TIMEOUT, limits.MAX_ATTEMPT_TIMEOUT),
    }
)


def parse_spec(spec: task_pb2.TaskSpec, found: Violations) -> dict[str, Any]:
    """What stands in the spec, with every fault named under `spec`. None: it is unset."""
    found.known_enum("spec.priority", spec.priority, PRIORITIES)
    fields = {
        "project": found.name("spec.project", spec.project),
        "type": found.name("spec.type", spec.type),
        "queue": found.name("spec.queue", spec.queue, default=limits.DEFAULT_QUEUE),
        "payload": _parse_payload(spec, found),
        "labels": _parse_labels(spec, found),
        "title": found.text("spec.title", spec.title) or None,
        "external_id": found.text("spec.external_id", spec.external_id) or None,
        **_parse_start(spec, found),
    }
    if spec.HasField("retry_policy"):
        fields |= _parse_retry_policy(spec.retry_policy, found)
    return fields


def _parse_payload(spec: task_pb2.TaskSpec, found: Violations) -> str | None:
    if not spec.HasField("payload"):
        return None
    return wire.payload_text(spec.payload, "spec.payload", report=found.add)


def _parse_labels(spec: task_pb2.TaskSpec, found: Violations) -> str | None:
    if not spec.labels:
        return None
    if len(spec.labels) > limits.MAX_LABELS:
        found.add("spec.labels", f"has more than {limits.MAX_LABELS} entries")
    for key, value in sorted(spec.labels.items()):
        path = f'spec.labels["{key[: limits.MAX_TEXT]}"]'.replace("\0", "\\0")
        found.name(path, key)
        found.text(path, value)
    return wire.canonical_json(dict(spec.labels))


def _parse_start(spec: task_pb2.TaskSpec, found: Violations) -> dict[str, Any]:
    start: dict[str, Any] = {}
    if spec.HasField("not_before_time"):
        field = "spec.not_before_time"
        start["not_before_time"] = found.moment(field, spec.not_before_time)
    if spec.HasField("start_delay"):
        start["start_delay"] = found.span(
            "spec.start_delay",
            spec.start_delay,
            least=NOTHING,
            most=limits.MAX_START_DELAY,
        )
    if len(start) > 1:
        found.add("spec.start_delay", "must not come with spec.not_before_time")
    return start


def _parse_retry_policy(
    policy: task_pb2.RetryPolicy, found: Violations
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if policy.max_attempts:
        fields["max_attempts"] = found.count(
            "spec.retry_policy.max_attempts",
            policy.max_attempts,
            least=1,
            most=limits.MAX_ATTEMPTS,
        )
    # By what is set: an unset duration would read as zero.
    for descriptor, value in policy.ListFields():
        if span_limits := SPAN_LIMITS.get(descriptor.name):
            least, most = span_limits
            path = f"spec.retry_policy.{descriptor.name}"
            fields[descriptor.name] = found.span(path, value, least=least, most=most)
    _check_backoffs(fields, found)
    return fields


def _check_backoffs(fields: dict[str, Any], found: Violations) -> None:
    initial, longest = fields.get("initial_backoff"), fields.get("max_backoff")
    if initial is not None and longest is not None and longest < initial:
        found.add("spec.retry_policy.max_backoff", "must not be under initial_backoff")
