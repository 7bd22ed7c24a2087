"""Create a task, watch it to its end, and print its result.

Run `tandem up` first; then `python examples/create_task.py`. Run it twice: the same
text makes the same request id, and so the same task.
"""

from __future__ import annotations

import os

from google.protobuf import json_format

from tandem.client import blocking_channel, request_id_from
from tandem.v1 import creator_pb2, creator_pb2_grpc, processor_pb2, processor_pb2_grpc
from tandem.v1.task_pb2 import TASK_VIEW_FULL, TaskSpec

CREATOR = os.environ.get("TANDEM_CREATOR_ADDRESS", "127.0.0.1:7101")
PROCESSOR = os.environ.get("TANDEM_PROCESSOR_ADDRESS", "127.0.0.1:7102")

spec = TaskSpec(project="examples", type="echo")
spec.payload.update({"topic": "Tea", "target_length": 2000})
request = creator_pb2.CreateTaskRequest(
    request_id=request_id_from("examples/create_task/tea"), spec=spec
)

with blocking_channel(CREATOR) as channel:
    creator = creator_pb2_grpc.CreatorServiceStub(channel)
    created = creator.CreateTask(request, timeout=10)
print(
    created.task.task_id, creator_pb2.CreateTaskResponse.Outcome.Name(created.outcome)
)

with blocking_channel(PROCESSOR) as channel:
    processor = processor_pb2_grpc.ProcessorServiceStub(channel)
    watch = processor_pb2.WatchTaskRequest(
        task_id=created.task.task_id, view=TASK_VIEW_FULL
    )
    tasks = [
        a.task for a in processor.WatchTask(watch, timeout=60) if a.HasField("task")
    ]
print(json_format.MessageToJson(tasks[-1].status.result, indent=None, sort_keys=True))
