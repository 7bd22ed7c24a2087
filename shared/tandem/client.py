"""What it takes to call Tandem: channels that retry and notice a dead path, ids, reasons."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import grpc
from google.rpc import error_details_pb2, status_pb2

from tandem import limits
from tandem.errors import DETAILS_KEY, Violation

REQUEST_IDS: Final = uuid5(NAMESPACE_URL, "tandem:request-id")
"""The namespace of request ids that are made from other texts."""

KEEPALIVE: Final[tuple[tuple[str, Any], ...]] = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without it a dead path is noticed after a minute, whatever keepalive says.
    ("grpc.http2.ping_timeout_ms", 5_000),
)


def channel(target: str | Sequence[str]) -> grpc.aio.Channel:
    """An asyncio channel to one address, or to any of several.

    UNAVAILABLE is repeated, up to five tries. A create that carries no id of
    its own may then make two tasks: give each a request id.

    Raises:
        ValueError: several addresses, of which one is a name.
    """
    addresses = _addresses(target)
    return grpc.aio.insecure_channel(uri(addresses), options=options(addresses))


def blocking_channel(target: str | Sequence[str]) -> grpc.Channel:
    """The same for callers without an event loop.

    Raises:
        ValueError: several addresses, of which one is a name.
    """
    addresses = _addresses(target)
    return grpc.insecure_channel(uri(addresses), options=options(addresses))


def request_id_from(text: str) -> str:
    """The request id that stands for any other text: the same text, the same id."""
    return str(uuid5(REQUEST_IDS, text))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a call was refused. Branch on `reason`; the message may change."""

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Violation] = ()


def reason_of(error: grpc.RpcError) -> Reason | None:
    """The reason that the server gave; None where the answer is not Tandem's."""
    for key, value in getattr(error, "trailing_metadata", tuple)() or ():
        if key == DETAILS_KEY:
            return _read(status_pb2.Status.FromString(value))
    return None


def _read(status: status_pb2.Status) -> Reason:
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad.DESCRIPTOR):
            detail.Unpack(bad)
    return Reason(
        reason=info.reason,
        message=status.message,
        metadata=dict(info.metadata),
        violations=[Violation(v.field, v.description) for v in bad.field_violations],
    )


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


def options(addresses: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Keepalive, sizes and the packaged service config."""
    policy = "round_robin" if len(addresses) > 1 else "pick_first"
    text = resources.files("tandem").joinpath("service_config.json").read_text("utf-8")
    config = json.loads(text) | {"loadBalancingConfig": [{policy: {}}]}
    return (
        *KEEPALIVE,
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_receive_message_length", limits.MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", limits.MAX_MESSAGE_BYTES),
    )
