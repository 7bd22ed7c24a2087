"""Each call of the script, on stubs generated from the protos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from tandem.v1 import (
    creator_pb2,
    creator_pb2_grpc,
    processor_pb2,
    processor_pb2_grpc,
    task_pb2,
)

Answer = dict[str, Any]
Step = Mapping[str, Any]

LIMIT = 60.0
"""Seconds for each call."""


class TaskClient:
    """Stubs of both services, and the tasks that the script has names for."""

    def __init__(
        self, creator: grpc.Channel, processor: grpc.Channel, project: str
    ) -> None:
        self._creator = creator_pb2_grpc.CreatorServiceStub(creator)
        self._processor = processor_pb2_grpc.ProcessorServiceStub(processor)
        self._project = project
        self._ids: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def run(self, step: Step) -> Answer:
        """Raises grpc.RpcError if the call is refused."""
        calls = {
            "CreateTask": self._create_task,
            "BatchCreateTasks": self._batch_create_tasks,
            "GetTask": self._get_task,
            "ListTasks": self._list_tasks,
            "LookupTask": self._lookup_task,
            "WatchTask": self._watch_task,
            "StreamCreatedTasks": self._stream_created_tasks,
            "CancelTask": self._cancel_task,
        }
        return calls[step["call"]](step)

    def _create_task(self, step: Step) -> Answer:
        got = self._creator.CreateTask(self._request(step), timeout=LIMIT)
        return {
            "outcome": _outcome(got),
            "task": self._note(step["as"], got.task.task_id),
        }

    def _batch_create_tasks(self, step: Step) -> Answer:
        batch = creator_pb2.BatchCreateTasksRequest(
            request_id=step["request_id"],
            requests=[self._request(given) for given in step["requests"]],
        )
        results = self._creator.BatchCreateTasks(batch, timeout=LIMIT).results
        pairs = zip(step["requests"], results, strict=True)
        return {
            "outcomes": [_outcome(result) for result in results],
            "tasks": [
                self._note(given["as"], result.task.task_id) for given, result in pairs
            ],
        }

    def _request(self, given: Step) -> creator_pb2.CreateTaskRequest:
        spec = task_pb2.TaskSpec(
            project=self._project,
            type="echo",
            external_id=given["external_id"],
            labels=given["labels"],
            title=given.get("title", ""),
        )
        # A Struct takes a plain dict by update(), with all that is in it.
        spec.payload.update(given["payload"])
        if "start_delay_seconds" in given:
            spec.start_delay.CopyFrom(Duration(seconds=given["start_delay_seconds"]))
        return creator_pb2.CreateTaskRequest(
            request_id=given.get("request_id", ""), spec=spec
        )

    def _get_task(self, step: Step) -> Answer:
        request = processor_pb2.GetTaskRequest(task_id=self._task_id(step))
        spec = self._processor.GetTask(request, timeout=LIMIT).task.spec
        return {
            "external_id": spec.external_id,
            "payload": json_format.MessageToDict(spec.payload),
        }

    def _list_tasks(self, step: Step) -> Answer:
        request = processor_pb2.ListTasksRequest(
            project=self._project, labels=step["labels"], page_size=step["page_size"]
        )
        names: list[str] = []
        pages = 0
        while not pages or request.page_token:
            page = self._processor.ListTasks(request, timeout=LIMIT)
            names += [self._names[task.task_id] for task in page.tasks]
            request.page_token = page.next_page_token
            pages += 1
        return {"pages": pages, "tasks": sorted(names)}

    def _lookup_task(self, step: Step) -> Answer:
        request = creator_pb2.LookupTaskRequest(
            project=self._project, external_id=step["external_id"]
        )
        got = self._creator.LookupTask(request, timeout=LIMIT)
        return {"task": self._names[got.task.task_id]}

    def _watch_task(self, step: Step) -> Answer:
        request = processor_pb2.WatchTaskRequest(
            task_id=self._task_id(step), view=task_pb2.TASK_VIEW_FULL
        )
        watch = self._processor.WatchTask(request, timeout=LIMIT)
        # A message without a task only shows that the stream is alive.
        [*_, last] = [got.task for got in watch if got.HasField("task")]
        return {
            "state": _state(last),
            "result": json_format.MessageToDict(last.status.result),
        }

    def _stream_created_tasks(self, step: Step) -> Answer:
        request = creator_pb2.StreamCreatedTasksRequest(
            projects=[self._project], until_caught_up=True
        )
        messages = list(self._creator.StreamCreatedTasks(request, timeout=LIMIT))
        return {
            "tasks": sorted(
                self._names[id_] for got in messages for id_ in got.task_ids
            ),
            "resumable": bool(messages[-1].resume_token),
        }

    def _cancel_task(self, step: Step) -> Answer:
        request = processor_pb2.CancelTaskRequest(
            task_id=self._task_id(step), comment=step["comment"]
        )
        return {
            "state": _state(self._processor.CancelTask(request, timeout=LIMIT).task)
        }

    def _note(self, name: str, task_id: str) -> str:
        """The name under which this id was first kept."""
        self._ids[name] = task_id
        return self._names.setdefault(task_id, name)

    def _task_id(self, step: Step) -> str:
        return step.get("task_id") or self._ids[step["task"]]


def _outcome(got: creator_pb2.CreateTaskResponse) -> str:
    return creator_pb2.CreateTaskResponse.Outcome.Name(got.outcome)


def _state(task: task_pb2.Task) -> str:
    return task_pb2.TaskStatus.State.Name(task.status.state)
