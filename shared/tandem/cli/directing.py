"""`tandem task cancel|retry`: a task is ended, or begun again, by hand."""

from __future__ import annotations

from typing import Final

import click

from tandem.cli import calling
from tandem.cli.options import common, common_options
from tandem.cli.output import brief, print_json
from tandem.v1 import processor_pb2, processor_pb2_grpc, task_pb2

ATTEMPT: Final = click.IntRange(0, 2**31 - 1)


@click.command()
@click.argument("task_id")
@click.option(
    "--attempt",
    type=ATTEMPT,
    help="Only at this attempt; at any other leave it as it is.",
)
@click.option("--comment", default="", help="Shown in the status.")
@common_options
@click.pass_context
def cancel(
    context: click.Context, task_id: str, *, attempt: int | None, comment: str
) -> None:
    """Cancel a task that waits, or ask one that runs to stop."""
    request = processor_pb2.CancelTaskRequest(
        task_id=task_id, expected_attempt=attempt, comment=comment
    )
    with calling.processor(context) as stub:
        answer = stub.CancelTask(request, timeout=calling.CALL_LIMIT)
    _show(context, answer.task)


@click.command()
@click.argument("task_id")
@click.option(
    "--attempt",
    type=ATTEMPT,
    help="The attempt that was seen to end; by default the one that is read now.",
)
@common_options
@click.pass_context
def retry(context: click.Context, task_id: str, *, attempt: int | None) -> None:
    """Put a failed or cancelled task back, to be run again."""
    with calling.processor(context) as stub:
        if attempt is None:
            attempt = _read_attempt(stub, task_id)
        request = processor_pb2.RetryTaskRequest(
            task_id=task_id, expected_attempt=attempt
        )
        answer = stub.RetryTask(request, timeout=calling.CALL_LIMIT)
    _show(context, answer.task)


def _read_attempt(stub: processor_pb2_grpc.ProcessorServiceStub, task_id: str) -> int:
    request = processor_pb2.GetTaskRequest(
        task_id=task_id, view=task_pb2.TASK_VIEW_BASIC
    )
    return stub.GetTask(request, timeout=calling.CALL_LIMIT).task.status.attempt


def _show(context: click.Context, task: task_pb2.Task) -> None:
    if common(context).json:
        print_json(task)
    else:
        click.echo(f"{task.task_id}  {brief(task)}")
