"""What commands print: tables and plain lines, or one JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tandem import limits
from tandem.v1 import task_pb2

PIPE_WIDTH: Final = 400

STATE_STYLES: Final = {
    "PENDING": "yellow",
    "RUNNING": "cyan",
    "SUSPENDED": "magenta",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "dim",
}


def print_json(value: Message | Mapping[str, Any]) -> None:
    """One line. Messages keep the field names of the contract."""
    if isinstance(value, Message):
        value = _plain(
            json_format.MessageToDict(value, preserving_proto_field_name=True)
        )
    click.echo(json.dumps(value, ensure_ascii=False))


def print_task(task: task_pb2.Task) -> None:
    """Everything of one task that is set, one fact a row."""
    table = Table.grid(padding=(0, 2))
    for name, value in _facts(task):
        table.add_row(Text(name, style="dim"), value)
    console().print(table)


def print_tasks(tasks: Sequence[task_pb2.Task]) -> None:
    """One row per task, newest first as they came."""
    table = Table(box=None, header_style="dim")
    for column in ("TASK", "TYPE", "STATE", "ATTEMPT", "CREATED", "EXTERNAL ID"):
        table.add_column(column, no_wrap=True)
    for task in tasks:
        table.add_row(
            task.task_id,
            Text(task.spec.type),
            state_text(task.status.state),
            str(task.status.attempt),
            moment(task.create_time),
            Text(task.spec.external_id or task.spec.title),
        )
    console().print(table)


def console() -> Console:
    """Standard output; into a pipe or a file nothing is cut to a terminal's width."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)


def state_text(state: task_pb2.TaskStatus.State.ValueType) -> Text:
    name = _state_name(state)
    return Text(name, style=STATE_STYLES.get(name, ""))


def _state_name(state: task_pb2.TaskStatus.State.ValueType) -> str:
    return task_pb2.TaskStatus.State.Name(state).removeprefix("STATE_")


def moment(timestamp: Timestamp) -> str:
    return f"{timestamp.ToDatetime():%Y-%m-%d %H:%M:%S}"


def brief(task: task_pb2.Task) -> str:
    """The status in one line: state, attempt, stages, what went wrong."""
    status = task.status
    parts = [_state_name(status.state), f"attempt {status.attempt}"]
    if status.progress:
        parts.append(f"{status.progress:.0%}")
    if status.stages:
        parts.append(" ".join(_stage(stage) for stage in status.stages))
    if status.HasField("error"):
        parts.append(f"{status.error.reason}: {status.error.message}")
    if status.HasField("cancel_request_time") and not status.HasField("finish_time"):
        parts.append("asked to stop")
    return ", ".join(parts)


def _facts(task: task_pb2.Task) -> list[tuple[str, Text]]:
    spec, status = task.spec, task.status
    facts = [
        ("task", Text(task.task_id)),
        ("state", state_text(status.state)),
        *_texts(
            project=spec.project,
            type=spec.type,
            title=spec.title,
            queue=spec.queue,
            external_id=spec.external_id,
            request_id=task.request_id,
            labels=" ".join(f"{k}={v}" for k, v in sorted(spec.labels.items())),
            attempt=str(status.attempt),
            stages=" ".join(_stage(stage) for stage in status.stages),
            cancel_comment=status.cancel_comment,
        ),
        *_moments(task),
    ]
    if spec.HasField("payload"):
        facts.append(("payload", _json_text(spec.payload)))
    if status.HasField("result"):
        facts.append(("result", _json_text(status.result)))
    if status.HasField("error"):
        facts.append(("error", Text(f"{status.error.reason}: {status.error.message}")))
    return facts


def _texts(**values: str) -> list[tuple[str, Text]]:
    return [
        (name.replace("_", " "), Text(value)) for name, value in values.items() if value
    ]


def _moments(task: task_pb2.Task) -> list[tuple[str, Text]]:
    holders = {"create": task, "due": task.status, "start": task.status}
    holders |= {"update": task.status, "finish": task.status}
    holders |= {"cancel_request": task.status}
    return [
        (
            f"{name.replace('_', ' ')} time",
            Text(f"{moment(getattr(holder, f'{name}_time'))} UTC"),
        )
        for name, holder in holders.items()
        if holder.HasField(f"{name}_time")
    ]


def _json_text(value: Message) -> Text:
    plain = _plain(json_format.MessageToDict(value))
    return Text(json.dumps(plain, ensure_ascii=False, indent=2))


def _plain(value: Any) -> Any:
    """The same, whole numbers without a fraction, as whoever sent them wrote them."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and abs(value) <= limits.MAX_SAFE_INTEGER:
        return int(value) if value.is_integer() else value
    return value


def _stage(stage: task_pb2.Stage) -> str:
    state = task_pb2.Stage.State.Name(stage.state).removeprefix("STATE_")
    return stage.name if state == "SUCCEEDED" else f"{stage.name}:{state.lower()}"
