"""`tandem task create|get|list|watch|cancel|retry`: one task, or many, from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import click
from google.protobuf import struct_pb2

from tandem import limits, wire
from tandem.cli import calling, directing, parameters
from tandem.cli.options import common, common_options
from tandem.cli.output import brief, print_json, print_task, print_tasks
from tandem.client import as_request_id
from tandem.v1 import creator_pb2, processor_pb2, processor_pb2_grpc, task_pb2

PRIORITIES: Final = ("urgent", "high", "normal", "low")
STATES: Final = [s.lower() for s in wire.STATES]
OUTCOMES: Final = {
    creator_pb2.CreateTaskResponse.OUTCOME_CREATED: "created",
    creator_pb2.CreateTaskResponse.OUTCOME_REPLAYED: "created earlier by this request id",
    creator_pb2.CreateTaskResponse.OUTCOME_EXISTING: "exists already",
}


@click.group()
@common_options
def task() -> None:
    """Create tasks, look at them, cancel and retry them."""


task.add_command(directing.cancel)
task.add_command(directing.retry)


@task.command()
@click.option("--project", required=True)
@click.option("--type", "type_", required=True, help="Decides which handler runs.")
@click.option("--payload", type=parameters.Payload(), default="{}", show_default=True)
@click.option("--request-id", help="Any text. The same text makes no second task.")
@click.option("--external-id", help="Your own name for the task.")
@click.option("--queue", default="")
@click.option("--priority", type=click.Choice(PRIORITIES))
@click.option("--title", default="")
@click.option("--label", "labels", multiple=True, callback=parameters.labels)
@click.option(
    "--not-before", type=parameters.Moment(), help="Run no earlier than this."
)
@click.option("--delay", type=parameters.Seconds(), help="Before the first attempt.")
@click.option("--max-attempts", type=click.IntRange(1, limits.MAX_ATTEMPTS))
@click.option("--attempt-timeout", type=parameters.Seconds())
@click.option("--reject-existing", is_flag=True, help="Fail if the external id exists.")
@common_options
@click.pass_context
def create(
    context: click.Context,
    /,
    *,
    request_id: str | None,
    reject_existing: bool,
    **given: Any,
) -> None:
    """Create a task, once per request id.

    Without --request-id and --external-id each run of this command makes a new task.
    """
    policy = creator_pb2.CreateTaskRequest.EXTERNAL_ID_POLICY_UNSPECIFIED
    if reject_existing:
        policy = creator_pb2.CreateTaskRequest.EXTERNAL_ID_POLICY_REJECT
    request = creator_pb2.CreateTaskRequest(
        # An id of our own where none is given, so that gRPC may repeat the call.
        request_id=as_request_id(request_id or uuid4()),
        spec=_spec(**given),
        external_id_policy=policy,
    )
    with calling.creator(context) as stub:
        answer = stub.CreateTask(request, timeout=calling.CALL_LIMIT)
    if common(context).json:
        print_json(answer)
        return
    click.echo(f"{answer.task.task_id}  {OUTCOMES[answer.outcome]}")
    if answer.differing_fields:
        click.echo(f"it differs in {', '.join(answer.differing_fields)}")


@task.command()
@click.argument("task_id")
@common_options
@click.pass_context
def get(context: click.Context, task_id: str) -> None:
    """Show one task."""
    with calling.processor(context) as stub:
        request = processor_pb2.GetTaskRequest(task_id=task_id)
        found = stub.GetTask(request, timeout=calling.CALL_LIMIT).task
    show = print_json if common(context).json else print_task
    show(found)


@task.command("list")
@click.option("--project", required=True)
@click.option("--state", "states", multiple=True, type=click.Choice(STATES))
@click.option("--type", "types", multiple=True)
@click.option("--queue", "queues", multiple=True)
@click.option("--label", "labels", multiple=True, callback=parameters.labels)
@click.option("--external-id-prefix", default="")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@common_options
@click.pass_context
def list_(
    context: click.Context,
    /,
    *,
    states: tuple[str, ...],
    limit: int,
    **filters: Any,
) -> None:
    """List a project's tasks, newest first."""
    request = processor_pb2.ListTasksRequest(
        states=[wire.STATES[state.upper()] for state in states],  # type: ignore[index]
        include_total=True,
        **filters,
    )
    with calling.processor(context) as stub:
        pages = list(_pages(stub, request, limit))
    found = [found for page in pages for found in page.tasks]
    if common(context).json:
        for each in found:
            print_json(each)
        return
    print_tasks(found)
    more = "+" if pages[0].total_size_capped else ""
    click.echo(f"{len(found)} of {pages[0].total_size:,}{more}")


@task.command()
@click.argument("task_id")
@common_options
@click.pass_context
def watch(context: click.Context, task_id: str) -> None:
    """Follow one task until it is final."""
    request = processor_pb2.WatchTaskRequest(task_id=task_id)
    with calling.processor(context) as stub:
        for answer in stub.WatchTask(request):
            # A quiet stream shows that it lives by an answer without a task.
            if not answer.HasField("task"):
                continue
            if common(context).json:
                print_json(answer.task)
            else:
                click.echo(brief(answer.task))


def _spec(
    *,
    type_: str,
    payload: struct_pb2.Struct,
    priority: str | None,
    external_id: str | None,
    not_before: datetime | None,
    delay: timedelta | None,
    max_attempts: int | None,
    attempt_timeout: timedelta | None,
    **plain: Any,
) -> task_pb2.TaskSpec:
    return task_pb2.TaskSpec(
        type=type_,
        payload=payload,
        priority=f"PRIORITY_{(priority or 'unspecified').upper()}",  # type: ignore[arg-type]
        external_id=external_id or "",
        not_before_time=wire.timestamp(not_before),
        start_delay=wire.duration(delay),
        retry_policy=parameters.retry_policy(max_attempts, attempt_timeout),
        **plain,
    )


def _pages(
    stub: processor_pb2_grpc.ProcessorServiceStub,
    request: processor_pb2.ListTasksRequest,
    limit: int,
) -> Iterator[processor_pb2.ListTasksResponse]:
    while limit > 0:
        request.page_size = min(limit, limits.MAX_PAGE_SIZE)
        page = stub.ListTasks(request, timeout=calling.CALL_LIMIT)
        yield page
        limit -= len(page.tasks)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return
