"""Whether a service serves. `python -m tandem.health HOST:PORT` ends with 0 if so.

Over TLS where `TANDEM_CLIENT_CA`, `_CERT` and `_KEY` or `TANDEM_CLIENT_TLS=true` say so.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tandem.client.channels import blocking_channel
from tandem.client.credentials import NOTHING, Credentials

SERVING: Final = health_pb2.HealthCheckResponse.SERVING

LIMIT: Final = 3.0
"""Seconds until no answer counts as not serving."""


def is_serving(address: str, credentials: Credentials = NOTHING) -> bool:
    """Whether the service at `address` (host:port) says so, within LIMIT seconds.

    Raises:
        InvalidCredentials: a file cannot be read, or a token would go in the clear.
    """
    with blocking_channel(address, credentials) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=LIMIT)
        except grpc.RpcError:
            return False
        return bool(answer.status == SERVING)


async def wait_until_serving(address: str, credentials: Credentials = NOTHING) -> None:
    """Return once the health service at `address` says SERVING. Bound it yourself."""
    await wait_for_health(address, SERVING, credentials)


async def wait_for_health(
    address: str, wanted: int, credentials: Credentials = NOTHING
) -> None:
    """Return once the health service at `address` says `wanted`. Bound it yourself."""
    over_tls = credentials.channel_credentials()
    async with (
        grpc.aio.insecure_channel(address)
        if over_tls is None
        else grpc.aio.secure_channel(address, over_tls)
    ) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watched = stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        async for answer in watched:
            if answer.status == wanted:
                return


def main() -> None:
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit("usage: python -m tandem.health HOST:PORT")
    try:
        credentials = Credentials.from_environ(os.environ)
        serves = is_serving(sys.argv[1], credentials)
    except ValueError as fault:
        sys.stderr.write(f"{fault}\n")
        sys.exit(2)
    if not serves:
        sys.exit(f"{sys.argv[1]} is not serving")


if __name__ == "__main__":
    main()
