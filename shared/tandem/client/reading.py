"""What a task says, in plain Python."""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2

from tandem import wire
from tandem.states import TaskState
from tandem.v1 import task_pb2


def state_of(task: task_pb2.Task) -> TaskState | None:
    """Where it stands; None for a state newer than this client: take it as not final."""
    return wire.STATES_FROM_WIRE.get(task.status.state)


def payload_of(task: task_pb2.Task) -> dict[str, Any]:
    """The payload, whole numbers as int. Empty where the answer left it out."""
    return _plain(task.spec.payload)


def result_of(task: task_pb2.Task) -> dict[str, Any]:
    """What the handler returned, whole numbers as int. Empty unless it SUCCEEDED."""
    return _plain(task.status.result)


def _plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    return wire.from_struct(struct, "", report=_refuse)


def _refuse(path: str, fault: str) -> None:
    raise ValueError(f"{path.removeprefix('.')} {fault}")
