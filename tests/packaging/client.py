"""What a stranger writes against the base install. Run in a place of its own."""

from __future__ import annotations

import asyncio
import sys

from google.protobuf.struct_pb2 import Struct

from tandem.client import channel, request_id_from
from tandem.v1 import creator_pb2, creator_pb2_grpc, task_pb2


async def main(address: str) -> None:
    payload = Struct()
    payload.update({"topic": "Tea"})
    request = creator_pb2.CreateTaskRequest(
        request_id=request_id_from("an order of mine"),
        spec=task_pb2.TaskSpec(project="shop", type="email", payload=payload),
    )
    async with channel(address) as opened:
        creator = creator_pb2_grpc.CreatorServiceStub(opened)
        response = await creator.CreateTask(request, timeout=10)
    outcome = creator_pb2.CreateTaskResponse.Outcome.Name(response.outcome)
    print(outcome, response.task.task_id)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
