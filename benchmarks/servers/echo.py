"""The ceiling: grpc.aio on uvloop with the same messages, and nothing behind it."""

from __future__ import annotations

import asyncio

import uvloop

from benchmarks import messages
from benchmarks.servers.bare import Context, serve
from tandem.v1 import creator_pb2 as pb


async def main() -> None:
    response = messages.response()

    async def create(
        request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        return response

    await serve(create)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
