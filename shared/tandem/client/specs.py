"""What is to be done, in plain Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from google.protobuf import struct_pb2, timestamp_pb2

from tandem import wire
from tandem.v1 import task_pb2
from tandem.violations import Violations, at_fault

Priority: TypeAlias = Literal["urgent", "high", "normal", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A task to be created. What is left unset falls to the service's defaults."""

    project: str
    type: str
    """Decides which handler runs it."""

    payload: Mapping[str, Any] | None = None
    """The handler's input: JSON, at most 64 KiB."""

    external_id: str = ""
    """Your own name for the task, unique in the project."""

    title: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    queue: str = ""
    priority: Priority | None = None

    not_before_time: datetime | None = None
    """With a time zone. Not together with `start_delay`."""

    start_delay: timedelta | None = None
    max_attempts: int | None = None
    initial_backoff: timedelta | None = None
    max_backoff: timedelta | None = None
    attempt_timeout: timedelta | None = None

    def to_wire(self) -> task_pb2.TaskSpec:
        """The spec as it is sent. The service checks its limits.

        Raises:
            InvalidRequest: the payload has no JSON form, the moment no zone, or a
                text a lone surrogate.
        """
        _refuse_surrogates(self._texts())
        return task_pb2.TaskSpec(
            project=self.project,
            type=self.type,
            payload=_struct(self.payload),
            queue=self.queue,
            priority=_priority(self.priority),
            not_before_time=timestamp(self.not_before_time, "spec.not_before_time"),
            start_delay=wire.duration(self.start_delay),
            retry_policy=self._retry_policy(),
            external_id=self.external_id,
            labels=self.labels,
            title=self.title,
        )

    def _texts(self) -> Iterator[tuple[str, str]]:
        for name in ("project", "type", "queue", "external_id", "title"):
            yield f"spec.{name}", getattr(self, name)
        for key, value in self.labels.items():
            yield "spec.labels", key
            yield "spec.labels", value

    def _retry_policy(self) -> task_pb2.RetryPolicy | None:
        policy = task_pb2.RetryPolicy(
            max_attempts=self.max_attempts or 0,
            initial_backoff=wire.duration(self.initial_backoff),
            max_backoff=wire.duration(self.max_backoff),
            attempt_timeout=wire.duration(self.attempt_timeout),
        )
        return policy if policy.ListFields() else None


def spec_to_wire(spec: Spec | task_pb2.TaskSpec) -> task_pb2.TaskSpec:
    return spec.to_wire() if isinstance(spec, Spec) else spec


def _priority(priority: Priority | None) -> task_pb2.Priority.ValueType:
    if priority is None:
        return task_pb2.PRIORITY_UNSPECIFIED
    return task_pb2.Priority.Value(f"PRIORITY_{priority.upper()}")


def _struct(payload: Mapping[str, Any] | None) -> struct_pb2.Struct | None:
    if payload is None:
        return None
    try:
        return wire.to_struct(payload)
    except (TypeError, ValueError, OverflowError) as error:
        raise at_fault("spec.payload", f"has no JSON form: {error}") from error


def timestamp(moment: datetime | None, path: str) -> timestamp_pb2.Timestamp | None:
    """The moment as it is sent.

    Raises:
        InvalidRequest: it has no time zone.
    """
    # Whoever means local time, and whoever means UTC, would both be right.
    if moment is not None and moment.tzinfo is None:
        raise at_fault(path, "has no time zone")
    return wire.timestamp(moment)


def _refuse_surrogates(texts: Iterable[tuple[str, str]]) -> None:
    """What is no text in UTF-8 would not even be sent."""
    bad = {name for name, text in texts if any("\ud800" <= c <= "\udfff" for c in text)}
    found = Violations()
    for name in sorted(bad):
        found.add(name, "has a lone surrogate")
    found.refuse()
