"""Whether a service serves. `python -m tandem.health HOST:PORT` ends with 0 if so."""

from __future__ import annotations

import sys
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

LIMIT: Final = 3.0
"""Seconds until no answer counts as not serving."""


def is_serving(address: str) -> bool:
    """Whether the service at `address` (host:port) says that it is serving."""
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=LIMIT)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def wait_until_serving(address: str) -> None:
    """Return once the health service at `address` says SERVING. Bound it yourself."""
    await _wait_for_health(address, health_pb2.HealthCheckResponse.SERVING)


async def wait_until_not_serving(address: str) -> None:
    """Return once the health service at `address` says NOT_SERVING. Bound it yourself."""
    await _wait_for_health(address, health_pb2.HealthCheckResponse.NOT_SERVING)


async def _wait_for_health(address: str, wanted: int) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watched = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        async for answer in watched:
            if answer.status == wanted:
                return


def main() -> None:
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit("usage: python -m tandem.health HOST:PORT")
    if not is_serving(sys.argv[1]):
        sys.exit(f"{sys.argv[1]} is not serving")


if __name__ == "__main__":
    main()
