"""`python -m tandem.health HOST:PORT`: exit code 0 if the service there is serving."""

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


def main() -> None:
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit("usage: python -m tandem.health HOST:PORT")
    if not is_serving(sys.argv[1]):
        sys.exit(f"{sys.argv[1]} is not serving")


if __name__ == "__main__":
    main()
