"""CreateTask on a bare grpc.aio server: no wrapper, no interceptor, no health."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from tandem.server import stop_signal
from tandem.starting import write_port
from tandem.v1 import creator_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
Create = Callable[[pb.CreateTaskRequest, Context], Awaitable[pb.CreateTaskResponse]]


async def serve(create: Create) -> None:
    """Serve until SIGTERM; the port is written to the file of TANDEM_PORT_FILE."""
    stop = stop_signal()
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((_handler(create),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    write_port(port, Path(os.environ["TANDEM_PORT_FILE"]))
    await stop.wait()
    await server.stop(0)


def _handler(create: Create) -> grpc.GenericRpcHandler:
    method = grpc.unary_unary_rpc_method_handler(
        create,
        request_deserializer=pb.CreateTaskRequest.FromString,
        response_serializer=pb.CreateTaskResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(
        "tandem.v1.CreatorService", {"CreateTask": method}
    )
