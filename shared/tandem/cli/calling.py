"""Calls from the command line: a channel, a limit, and errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click
import grpc

from tandem.cli.failures import call_failed
from tandem.cli.options import common
from tandem.client import Credentials, InvalidCredentials, blocking_channel
from tandem.v1 import creator_pb2_grpc, processor_pb2_grpc

CALL_LIMIT: Final = 15.0
"""Seconds for one call with one answer, repeats included."""


@contextmanager
def creator(context: click.Context) -> Iterator[creator_pb2_grpc.CreatorServiceStub]:
    """A creator to call. What it refuses leaves the block as CallFailed."""
    with _channel("creator", common(context).creator) as channel:
        yield creator_pb2_grpc.CreatorServiceStub(channel)


@contextmanager
def processor(
    context: click.Context,
) -> Iterator[processor_pb2_grpc.ProcessorServiceStub]:
    """A processor to call. What it refuses leaves the block as CallFailed."""
    with _channel("processor", common(context).processor) as channel:
        yield processor_pb2_grpc.ProcessorServiceStub(channel)


@contextmanager
def _channel(service: str, address: str) -> Iterator[grpc.Channel]:
    try:
        credentials = Credentials.from_environ(os.environ)
        opened = blocking_channel(address, credentials)
    except InvalidCredentials as error:
        raise click.UsageError(str(error)) from error
    except ValueError as error:
        raise click.UsageError(f"--{service}: {error}") from error
    try:
        with opened as channel:
            yield channel
    except grpc.RpcError as error:
        raise call_failed(error, service=service, address=address) from error
