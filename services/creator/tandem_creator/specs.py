"""From the words of a TaskSpec to the fields of a draft, with every fault named."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from google.protobuf import struct_pb2

from tandem import specs
from tandem.v1 import task_pb2
from tandem.validation import Violations
from tandem_creator.drafts import DEFAULT_PRIORITY, Defaulted

# Flags are put together slowly.
DEFAULTED: Final = MappingProxyType(
    {
        (has_queue, has_priority): (Defaulted(0) if has_queue else Defaulted.QUEUE)
        | (Defaulted(0) if has_priority else Defaulted.PRIORITY)
        for has_queue in (False, True)
        for has_priority in (False, True)
    }
)

NEGATIVE_ZERO: Final = struct_pb2.Value(number_value=-0.0).SerializeToString()


def parse_spec(spec: task_pb2.TaskSpec, found: Violations) -> dict[str, Any]:
    """The draft's fields that stand in the spec, with every fault named under `spec`."""
    fields = specs.parse_spec(spec, found)
    fields["priority"] = spec.priority or DEFAULT_PRIORITY
    fields["defaulted"] = DEFAULTED[bool(spec.queue), bool(spec.priority)]
    if _is_kept_as_given(spec, fields["payload"] or ""):
        fields["given"] = spec
    return fields


def _is_kept_as_given(spec: task_pb2.TaskSpec, payload: str) -> bool:
    if _has_times(spec):
        return False
    # Of all numbers, JSON as it is kept changes only the negative zero.
    if ":0" in payload or ",0" in payload or "[0" in payload:
        return NEGATIVE_ZERO not in spec.payload.SerializeToString()
    return True


def _has_times(spec: task_pb2.TaskSpec) -> bool:
    """What most specs do without. They are kept to the microsecond only."""
    return (
        spec.HasField("retry_policy")
        or spec.HasField("not_before_time")
        or spec.HasField("start_delay")
    )
