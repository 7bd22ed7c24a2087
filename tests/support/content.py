"""The content requests of the report, as its callers sent them."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from tandem.v1 import creator_pb2, task_pb2
from tests.support.creator import a_request

HEALTHCARE = {
    "topic": "AI in Healthcare",
    "style": "technical",
    "tone": "professional",
    "target_length": 2000,
}


def a_blog_post(
    project: str, *, request_id: str = "", payload: dict[str, Any] | None = None
) -> creator_pb2.CreateTaskRequest:
    """`POST /api/tasks` of the report."""
    return content_of_type(
        "blog_post", project, request_id=request_id, payload=payload or {}
    )


def content_of_type(
    type_: str,
    project: str,
    *,
    request_id: str = "",
    payload: dict[str, Any] | None = None,
) -> creator_pb2.CreateTaskRequest:
    return a_request(
        project=project,
        type=type_,
        request_id=request_id,
        payload={**HEALTHCARE, **(payload or {})},
    )


def state_of(task: task_pb2.Task) -> str:
    name = task_pb2.TaskStatus.State.Name(task.status.state)
    return name.removeprefix("STATE_")


def stage_states(task: task_pb2.Task) -> dict[str, str]:
    """Each stage's state, in the order they began."""
    return {
        stage.name: task_pb2.Stage.State.Name(stage.state).removeprefix("STATE_")
        for stage in task.status.stages
    }


def result_of(task: task_pb2.Task) -> dict[str, Any]:
    """What the handler returned; numbers as floats."""
    return dict(json_format.MessageToDict(task.status.result))
