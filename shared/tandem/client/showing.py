"""Interceptors that add a token to each call of a channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import grpc

from tandem.client.credentials import Credentials


class _Details(NamedTuple):
    """What gRPC asks for of the details of a blocking call."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class Shown(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """For blocking channels."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def _intercept(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        metadata = (*(details.metadata or ()), *self._credentials.metadata())
        more = _Details(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )
        return continuation(more, request)

    intercept_unary_unary: Any = _intercept
    intercept_unary_stream: Any = _intercept
    intercept_stream_unary: Any = _intercept
    intercept_stream_stream: Any = _intercept


class _Shown:
    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def _intercept(
        self, continuation: Callable[..., Any], details: Any, request: Any
    ) -> Any:
        metadata = grpc.aio.Metadata(
            *(details.metadata or ()), *self._credentials.metadata()
        )
        return await continuation(details._replace(metadata=metadata), request)


class _UnaryUnary(_Shown, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _Shown._intercept  # noqa: SLF001 - its own


class _UnaryStream(_Shown, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _Shown._intercept  # noqa: SLF001 - its own


def awaited_interceptors(
    credentials: Credentials,
) -> Sequence[grpc.aio.ClientInterceptor]:
    """For asyncio channels, and all calls but those that send a stream."""
    return (_UnaryUnary(credentials), _UnaryStream(credentials))
