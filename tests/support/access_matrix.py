"""Both services, callers of every kind, and a request for every method.

Another kind of credentials joins in `Services.known` and by its ways to be wrong; a new
method by a row in REQUESTS, without which `test_every_method_has_a_row` fails.
"""

from __future__ import annotations

import base64
import hmac
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import grpc
import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tandem.access import ACTIONS
from tandem.handlers import Handlers
from tandem.v1 import creator_pb2, processor_pb2
from tests.support.certificates import Authority, Signed
from tests.support.cluster import Database
from tests.support.creator import a_request, opened
from tests.support.issuer import AUDIENCE, ISSUER, Issuer, claims, rsa_key
from tests.support.keys import EVERYTHING, Metadata, a_key, bearer
from tests.support.processor import working

CREATOR: ServiceDescriptor = creator_pb2.DESCRIPTOR.services_by_name["CreatorService"]
PROCESSOR: ServiceDescriptor = processor_pb2.DESCRIPTOR.services_by_name[
    "ProcessorService"
]

LIMIT: Final = 20.0

Makes = Callable[[str], Message]
"""A request about the one task, whose id it gets. Its project is `shop`."""


def _join(_task_id: str) -> Message:
    join = creator_pb2.ConsumeCreatedTasksRequest.Join(
        group="processors", queues=["unserved"], processor_id=str(uuid4())
    )
    return creator_pb2.ConsumeCreatedTasksRequest(join=join)


def _batch(_task_id: str) -> Message:
    requests = [a_request(queue="unserved")]
    return creator_pb2.BatchCreateTasksRequest(requests=requests)


# The request, and actions each of which is enough in the task's project.
REQUESTS: Final[Mapping[str, tuple[Makes, str]]] = MappingProxyType(
    {
        "CreateTask": (lambda _: a_request(queue="unserved"), "create"),
        "BatchCreateTasks": (_batch, "create"),
        "LookupTask": (
            lambda _: creator_pb2.LookupTaskRequest(project="shop", external_id="here"),
            "create read operate process",
        ),
        "StreamCreatedTasks": (
            lambda _: creator_pb2.StreamCreatedTasksRequest(
                projects=["shop"], until_caught_up=True
            ),
            "read operate process",
        ),
        "ConsumeCreatedTasks": (_join, "process"),
        "GetTask": (
            lambda task_id: processor_pb2.GetTaskRequest(task_id=task_id),
            "read operate process",
        ),
        "BatchGetTasks": (
            lambda task_id: processor_pb2.BatchGetTasksRequest(task_ids=[task_id]),
            "read operate process",
        ),
        "ListTasks": (
            lambda _: processor_pb2.ListTasksRequest(project="shop"),
            "read operate process",
        ),
        "WatchTask": (
            lambda task_id: processor_pb2.WatchTaskRequest(task_id=task_id),
            "read operate process",
        ),
        "CancelTask": (
            lambda task_id: processor_pb2.CancelTaskRequest(
                task_id=task_id, expected_attempt=7
            ),
            "operate",
        ),
        "RetryTask": (
            lambda task_id: processor_pb2.RetryTaskRequest(task_id=task_id),
            "operate",
        ),
        # For all projects alone: a queue is shared.
        "PauseQueue": (lambda _: processor_pb2.PauseQueueRequest(queue="q"), ""),
        "ResumeQueue": (lambda _: processor_pb2.ResumeQueueRequest(queue="q"), ""),
        "GetStats": (
            lambda _: processor_pb2.GetStatsRequest(),
            "read operate process",
        ),
    }
)

HIDDEN: Final = ("GetTask", "WatchTask", "CancelTask", "RetryTask")
"""By id: a task that the caller may not read is as if it were not there."""

UNNAMED: Final = ("BatchGetTasks", "GetStats", "ConsumeCreatedTasks")
"""They name no project, and answer what the caller may read, which may be nothing."""


Channels = Mapping[str, grpc.aio.Channel]

KINDS: Final = ("key", "jwt", "certificate")


@dataclass(slots=True)
class Services:
    """A creator and a processor over TLS, and callers of one kind that they know."""

    kind: str
    database: Database
    folder: Path
    stack: AsyncExitStack
    authority: Authority = field(default_factory=Authority)
    issuer: Issuer = field(default_factory=Issuer)
    addresses: dict[str, str] = field(default_factory=dict)

    async def known(self, *scopes: str) -> tuple[Channels, Metadata]:
        """How a caller with these scopes calls."""
        if self.kind == "certificate":
            return await self.channels(self.signed(identity(scopes))), ()
        if self.kind == "jwt":
            return await self.channels(), bearer(
                self.issuer.token(scope=" ".join(scopes))
            )
        return await self.channels(), bearer(await a_key(self.database, *scopes))

    async def channels(self, shown: Signed | None = None) -> Channels:
        """One to each service, with this client certificate."""
        own = (shown.key, shown.certificate) if shown else (None, None)
        trusted = grpc.ssl_channel_credentials(self.authority.pem, *own)
        return {
            name: await self.stack.enter_async_context(
                grpc.aio.secure_channel(address, trusted)
            )
            for name, address in self.addresses.items()
        }

    def signed(self, uri: str) -> Signed:
        return self.authority.sign("c", (x509.UniformResourceIdentifier(uri),))

    def access(self) -> dict[str, Any]:
        """The settings of both services."""
        signed = self.authority.sign("service")
        self.issuer.write(self.folder / "keys.json")
        (self.folder / "cert.pem").write_bytes(signed.certificate)
        (self.folder / "key.pem").write_bytes(signed.key)
        (self.folder / "ca.pem").write_bytes(self.authority.pem)
        (self.folder / "callers.toml").write_text(
            "".join(
                f'["{identity(scopes)}"]\nscopes = {list(scopes)}\n'
                for scopes in LISTED
            )
        )
        kinds = {
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_jwks": str(self.folder / "keys.json"),
        }
        if self.kind == "certificate":
            kinds = {
                "tls_client_ca": str(self.folder / "ca.pem"),
                "certificate_callers": str(self.folder / "callers.toml"),
            }
        return {
            "auth": ("key", "certificate" if self.kind == "certificate" else "jwt"),
            "tls_cert": str(self.folder / "cert.pem"),
            "tls_key": str(self.folder / "key.pem"),
            **kinds,
        }


def identity(scopes: Iterable[str]) -> str:
    return "spiffe://test/" + "/".join(scopes).replace(":", "-").replace("*", "all")


LISTED: Final = (
    EVERYTHING,
    *((f"{action}:{where}",) for action in ACTIONS for where in ("shop", "bank")),
)
"""The scopes of callers that have a certificate."""


@asynccontextmanager
async def both(database: Database, kind: str = "key") -> AsyncIterator[Services]:
    """A creator and a processor that ask who calls, over TLS."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        services = Services(kind, database, folder, stack)
        access = services.access()
        _, creator = await stack.enter_async_context(
            opened(database.creator_url, access=access)
        )
        processor = await stack.enter_async_context(
            working(database.processor_url, Handlers(), **access)
        )
        services.addresses = {
            CREATOR.name: f"127.0.0.1:{creator.port}",
            PROCESSOR.name: processor.address,
        }
        yield services


def refused_tokens(issuer: Issuer) -> Mapping[str, Metadata]:
    """Tokens that no service accepts, by what is wrong with them."""
    now = int(time.time())
    right: dict[str, Any] = {"scope": " ".join(EVERYTHING)}
    public = rsa_key("one").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # No library makes these two: they are put together by hand.
    unsigned = jwt.encode(claims(**right), "", algorithm="none")
    head, body, _ = jwt.encode(
        claims(**right), "x" * 32, algorithm="HS256", headers={"kid": "one"}
    ).split(".")
    mixed = hmac.digest(pem, f"{head}.{body}".encode(), "sha256")
    stranger = Issuer({"one": rsa_key("stranger")})
    tokens = {
        "expired": issuer.token(**right, exp=now - 3600),
        "of the future": issuer.token(**right, nbf=now + 3600),
        "for others": issuer.token(**right, aud="others"),
        "of another issuer": issuer.token(**right, iss="https://other.test"),
        "of a forger": stranger.token(**right),
        "without an end": issuer.token(**right, exp=None),
        "unsigned": unsigned,
        "signed with the public key": f"{head}.{body}."
        + base64.urlsafe_b64encode(mixed).rstrip(b"=").decode(),
    }
    return {f"token {what}": bearer(token) for what, token in tokens.items()}


async def answered(
    channel: grpc.aio.Channel,
    method: MethodDescriptor,
    request: Message | bytes,
    metadata: Metadata,
) -> tuple[grpc.StatusCode, str, Any]:
    """The code, the words, and the first message of the answer."""
    shape = {False: "unary", True: "stream"}
    name = f"{shape[method.client_streaming]}_{shape[method.server_streaming]}"
    begin = getattr(channel, name)(
        f"/{method.containing_service.full_name}/{method.name}",
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    data = request if isinstance(request, bytes) else request.SerializeToString()
    given = iter([data]) if method.client_streaming else data
    call = begin(given, metadata=metadata, timeout=LIMIT)
    try:
        first = await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or "", None
    if first is grpc.aio.EOF:
        return await call.code(), await call.details(), None
    call.cancel()
    return grpc.StatusCode.OK, "", first


async def a_task(channel: grpc.aio.Channel, key: Metadata) -> str:
    request = a_request(queue="unserved", external_id="here")
    _, _, made = await answered(
        channel, CREATOR.methods_by_name["CreateTask"], request, key
    )
    task_id: str = made.task.task_id
    return task_id


def methods() -> Iterable[MethodDescriptor]:
    return [*CREATOR.methods, *PROCESSOR.methods]
