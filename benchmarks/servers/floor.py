"""The floor: a straightforward server with one committed INSERT for each call."""

from __future__ import annotations

import asyncio
import os
from uuid import UUID, uuid4

import asyncpg
import uvloop

from benchmarks import messages
from benchmarks.servers.bare import Context, serve
from benchmarks.sql import CREATE_FLOOR, INSERT_FLOOR
from tandem import wire
from tandem.v1 import creator_pb2 as pb


async def main() -> None:
    pool = await asyncpg.create_pool(os.environ["FLOOR_DATABASE_URL"], max_size=10)
    await pool.execute(CREATE_FLOOR)
    template = messages.response()

    async def create(
        request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        task_id = uuid4()
        create_time = await pool.fetchval(INSERT_FLOOR, *_row(request, task_id))
        response = pb.CreateTaskResponse()
        response.CopyFrom(template)
        response.task.task_id = str(task_id)
        response.task.create_time.FromDatetime(create_time)
        response.task.request_id = response.request_id = request.request_id
        return response

    await serve(create)
    await pool.close()


def _row(request: pb.CreateTaskRequest, task_id: UUID) -> tuple[object, ...]:
    spec = request.spec
    payload = wire.from_struct(spec.payload, "payload", report=_refuse)
    return (
        task_id,
        UUID(request.request_id),
        spec.project,
        spec.type,
        wire.canonical_json(payload),
    )


def _refuse(path: str, fault: str) -> None:
    raise ValueError(f"{path} {fault}")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
