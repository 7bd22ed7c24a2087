"""Channels whose every call carries a token.

gRPC's own call credentials are not sent in the clear, and cost a thread for each call.
"""

from __future__ import annotations

from typing import Any

import grpc

from tandem.client.credentials import Credentials


class _Method:
    """One method of a service. Metadata of its own is given by name."""

    def __init__(self, method: Any, credentials: Credentials) -> None:
        self._method = method
        self._credentials = credentials

    def __call__(self, *given: Any, metadata: Any = None, **options: Any) -> Any:
        carried = self._carried(metadata)
        return self._method(*given, metadata=carried, **options)

    def with_call(self, *given: Any, metadata: Any = None, **options: Any) -> Any:
        carried = self._carried(metadata)
        return self._method.with_call(*given, metadata=carried, **options)

    def future(self, *given: Any, metadata: Any = None, **options: Any) -> Any:
        carried = self._carried(metadata)
        return self._method.future(*given, metadata=carried, **options)

    def _carried(self, given: Any) -> tuple[Any, ...]:
        return (*(given or ()), *self._credentials.metadata())


class _Bearing:
    """What a channel of either kind makes of its methods."""

    def __init__(self, channel: Any, credentials: Credentials) -> None:
        self._channel = channel
        self._credentials = credentials

    def unary_unary(self, *given: Any, **options: Any) -> Any:
        return _Method(self._channel.unary_unary(*given, **options), self._credentials)

    def unary_stream(self, *given: Any, **options: Any) -> Any:
        return _Method(self._channel.unary_stream(*given, **options), self._credentials)

    def stream_unary(self, *given: Any, **options: Any) -> Any:
        return _Method(self._channel.stream_unary(*given, **options), self._credentials)

    def stream_stream(self, *given: Any, **options: Any) -> Any:
        return _Method(
            self._channel.stream_stream(*given, **options), self._credentials
        )


class BearingChannel(_Bearing, grpc.Channel):
    """A blocking channel that adds the token."""

    def subscribe(self, callback: Any, try_to_connect: Any = False) -> None:
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Any) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class AsyncBearingChannel(_Bearing, grpc.aio.Channel):
    """An asyncio channel that adds the token."""

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        found: grpc.ChannelConnectivity = self._channel.get_state(try_to_connect)
        return found

    async def wait_for_state_change(
        self, last_observed_state: grpc.ChannelConnectivity
    ) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.close()
