"""gRPC's own services, health and reflection, guarded as Tandem's are.

As they come, bytes that are no message of theirs are answered with an exception's
words, and logged with a stack trace; and whoever may not call anything else may have
them keep whatever it sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from tandem.authentication.door import Context
from tandem.calls import Malformed, Unary, guarded
from tandem.doorstep import Doorstep
from tandem.errors import InvalidRequest, NotBuilt, TandemError
from tandem.limits import MAX_TEXT
from tandem.reflecting import MethodsFound

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Borrowing:
    """Stands in for a server where a service of gRPC's is added to it."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: they are added by name as well."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, Handler]
    ) -> None:
        """Add each of them, guarded."""
        doorstep = Doorstep()
        found = {
            name: _guarded(handler, doorstep) for name, handler in handlers.items()
        }
        generic = grpc.method_handlers_generic_handler(service, found)
        self._server.add_generic_rpc_handlers((generic,))


def _guarded(handler: Any, doorstep: Doorstep) -> Handler:
    """The same method; its one message is taken as a stream of one, which can be given up."""
    make, behaviour = (
        (grpc.stream_stream_rpc_method_handler, handler.unary_stream)
        if handler.response_streaming
        else (grpc.stream_unary_rpc_method_handler, handler.unary_unary)
    )
    found: Handler = make(
        _parsed(behaviour, doorstep),
        request_deserializer=guarded(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )
    return found


def _parsed(behaviour: Unary, doorstep: Doorstep) -> Unary:
    async def answer(_requests: Any, context: Context) -> Any:
        try:
            request = await doorstep.take(context)
        except InvalidRequest as late:
            await refuse(context, late)
        if request is grpc.aio.EOF or isinstance(request, Malformed):
            await refuse(context, InvalidRequest(NO_MESSAGE))
        return await behaviour(request, context)

    return answer


NO_MESSAGE: Final = "the bytes sent are not a message of this method"


async def refuse(context: Context, error: TandemError) -> NoReturn:
    """End the call with this error."""
    await context.abort(error.code, error.told, error.trailers())


class Health(health.aio.HealthServicer):
    """Says how each service is."""

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> Any:
        await _refuse_long(request.service, context)
        return await super().Check(request, context)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> Any:
        # A name is kept for as long as it is watched.
        await _refuse_long(request.service, context)
        return await super().Watch(request, context)

    async def List(self, request: object, context: Context) -> NoReturn:
        await refuse(context, NotBuilt("ask with Check, for one service at a time"))


async def _refuse_long(name: str, context: Context) -> None:
    if len(name) > MAX_TEXT:
        await refuse(
            context, InvalidRequest(f"service must have {MAX_TEXT} characters at most")
        )


def reflecting(names: tuple[str, ...]) -> Any:
    """Says what these services are. Whoever asks has passed the door."""
    # It answers all that reflection asks of a pool; the stubs know the class only.
    methods: Any = MethodsFound()
    return reflection.aio.ReflectionServicer(names, pool=methods)
