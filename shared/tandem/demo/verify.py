"""The first stage of every pipeline: does the task that we were handed exist?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc

from tandem import wire
from tandem.addresses import PROCESSOR_ADDRESS
from tandem.client import blocking_channel
from tandem.handlers import DoNotRetry
from tandem.v1 import processor_pb2, processor_pb2_grpc, task_pb2

LOOK_UP_LIMIT: Final = 5.0
"""Seconds for one look-up. The next attempt looks again."""


def verify(task_id: str) -> dict[str, Any]:
    """Read the task back from the processor's API, and never create it.

    That there is no such task is final. A look-up that fails says nothing about
    the task, so its error is left to the retries.

    Raises:
        DoNotRetry: the task does not exist.
    """
    with blocking_channel(reading_address(os.environ)) as channel:
        stub = processor_pb2_grpc.ProcessorServiceStub(channel)
        request = processor_pb2.GetTaskRequest(
            task_id=task_id, view=task_pb2.TASK_VIEW_BASIC
        )
        try:
            task = stub.GetTask(request, timeout=LOOK_UP_LIMIT).task
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise DoNotRetry(f"task {task_id} does not exist") from error
            raise
    state = wire.STATES_FROM_WIRE[task.status.state]
    return {"task_id": task.task_id, "state": state}


def reading_address(environ: Mapping[str, str]) -> str:
    """Where to read tasks: as told, or this process's own address."""
    if told := environ.get("TANDEM_PROCESSOR_ADDRESS"):
        return told
    listen = environ.get("TANDEM_LISTEN") or PROCESSOR_ADDRESS
    host, _, port = listen.rpartition(":")
    if port_file := environ.get("TANDEM_PORT_FILE"):
        # The port that was chosen, where the setting left it open.
        port = Path(port_file).read_text(encoding="utf-8").strip()
    return f"{host}:{port}"
