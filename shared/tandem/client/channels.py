"""Channels that retry, reconnect soon, and notice a dead path."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final, TypeAlias

import grpc

from tandem import limits
from tandem.client.bearing import AsyncBearingChannel, BearingChannel
from tandem.client.credentials import NOTHING, Credentials

Options: TypeAlias = tuple[tuple[str, Any], ...]

Way: TypeAlias = tuple[str, Options, grpc.ChannelCredentials | None]
"""What a channel is opened with: where it leads, how, and for TLS with which credentials."""

KEEPALIVE: Final[Options] = (
    # Together less than ten seconds, and than a stream's silence: the connection is
    # judged first.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # Without it a dead path is noticed after a minute, whatever keepalive says.
    ("grpc.http2.ping_timeout_ms", 3_000),
    # A stream that only listens sends no data for hours.
    ("grpc.http2.max_pings_without_data", 0),
)

RECONNECT: Final[Options] = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    # The default is two minutes: so long a service that is back would stay unseen.
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # How long one try to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5_000),
)

ALL_OF_A_NAME: Final = "dns:///"
"""How a target begins that stands for every address of its name."""


def channel(
    target: str | Sequence[str], credentials: Credentials = NOTHING
) -> grpc.aio.Channel:
    """An asyncio channel to one address, or to any of several.

    Several are given as such, or as `dns:///name:port`: all that the name stands for.

    UNAVAILABLE is repeated, up to five tries, and so is the CANCELLED of a server
    that stops. A create that carries no id of
    its own may then make two tasks: give each a request id.

    A token of the credentials goes with each call. Over TLS, each of several
    addresses must show a certificate that names the host of the first.

    Raises:
        ValueError: several addresses, of which one is a name.
        InvalidCredentials: a file cannot be read, or a token would go in the clear.
    """
    where, chosen, over_tls = _way(target, credentials)
    opened = (
        grpc.aio.insecure_channel(where, options=chosen)
        if over_tls is None
        else grpc.aio.secure_channel(where, over_tls, options=chosen)
    )
    if not credentials.metadata():
        return opened
    return AsyncBearingChannel(opened, credentials)


def blocking_channel(
    target: str | Sequence[str], credentials: Credentials = NOTHING
) -> grpc.Channel:
    """The same for callers without an event loop; a token goes with every call.

    Raises:
        ValueError: several addresses, of which one is a name.
        InvalidCredentials: a file cannot be read, or a token would go in the clear.
    """
    where, chosen, over_tls = _way(target, credentials)
    opened = (
        grpc.insecure_channel(where, options=chosen)
        if over_tls is None
        else grpc.secure_channel(where, over_tls, options=chosen)
    )
    if not credentials.metadata():
        return opened
    return BearingChannel(opened, credentials)


def _way(target: str | Sequence[str], credentials: Credentials) -> Way:
    addresses = _addresses(target)
    credentials.require_safe(addresses)
    over_tls = credentials.channel_credentials()
    where, chosen = uri(addresses), options(addresses)
    if over_tls is not None:
        chosen = (*chosen, *_named(addresses))
    return where, chosen, over_tls


def _named(addresses: Sequence[str]) -> tuple[tuple[str, str], ...]:
    # gRPC would look for all the addresses as one name.
    if len(addresses) == 1:
        return ()
    host = addresses[0].rpartition(":")[0].strip("[]")
    return (("grpc.ssl_target_name_override", host),)


def _addresses(target: str | Sequence[str]) -> list[str]:
    texts = target.split(",") if isinstance(target, str) else target
    addresses = [text.strip() for text in texts if text.strip()]
    if not addresses:
        raise ValueError("no address is given")
    return addresses


def uri(addresses: Sequence[str]) -> str:
    """The addresses as gRPC names them.

    Raises:
        ValueError: several addresses, of which one is a name.
    """
    if len(addresses) == 1:
        return addresses[0]
    plain = [address.replace("localhost:", "127.0.0.1:") for address in addresses]
    versions = {_version(address) for address in plain}
    if len(versions) != 1:
        raise ValueError("several addresses must be all IPv4 or all IPv6")
    return f"ipv{versions.pop()}:{','.join(plain)}"


def _version(address: str) -> int:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        message = f"{address} is a name; several addresses must be numbers"
        raise ValueError(message) from None


def options(addresses: Sequence[str]) -> Options:
    """Keepalive, reconnection, sizes and the packaged service config."""
    is_many = len(addresses) > 1 or addresses[0].startswith(ALL_OF_A_NAME)
    policy = "round_robin" if is_many else "pick_first"
    text = resources.files("tandem").joinpath("service_config.json").read_text("utf-8")
    config = json.loads(text) | {"loadBalancingConfig": [{policy: {}}]}
    return (
        *KEEPALIVE,
        *RECONNECT,
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_receive_message_length", limits.MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", limits.MAX_MESSAGE_BYTES),
    )
