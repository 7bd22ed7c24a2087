"""Runs a script of calls against Tandem, and prints one line of JSON for each step.

python main.py SCRIPT CREATOR_ADDRESS PROCESSOR_ADDRESS PROJECT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
from calls import Answer, TaskClient
from google.rpc import error_details_pb2, status_pb2


def main(
    script: str, creator_address: str, processor_address: str, project: str
) -> None:
    steps = json.loads(Path(script).read_text(encoding="utf-8"))["steps"]
    with (
        grpc.insecure_channel(creator_address) as creator,
        grpc.insecure_channel(processor_address) as processor,
    ):
        client = TaskClient(creator, processor, project)
        for step in steps:
            try:
                answer = client.run(step)
            except grpc.RpcError as error:
                answer = refusal(error)
            print(json.dumps({"step": step["step"], "answer": answer}), flush=True)


def refusal(error: grpc.RpcError) -> Answer:
    """What to branch on: the code of gRPC, and the reason. Texts may change."""
    for detail in details_of(error):
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == "tandem":
            return {"code": error.code().name, "reason": info.reason}
    raise error


def details_of(error: grpc.RpcError) -> Iterable[Any]:
    """The messages that the status carries."""
    for entry in error.trailing_metadata():
        if entry.key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(entry.value)
            return list(status.details)
    return []


main(*sys.argv[1:])
