"""`tandem stream`: the ids of created tasks, as they come."""

from __future__ import annotations

import click

from tandem.cli import calling
from tandem.cli.options import common, common_options
from tandem.cli.output import print_json
from tandem.v1 import creator_pb2

Start = creator_pb2.StreamCreatedTasksRequest.Start


@click.command()
@click.option("--resume-token", default="", help="Go on after this place.")
@click.option("--from-now", is_flag=True, help="Only what is created from now on.")
@click.option("--queue", "queues", multiple=True)
@click.option("--project", "projects", multiple=True)
@click.option("--until-caught-up", is_flag=True, help="End where the stream is now.")
@common_options
@click.pass_context
def stream(
    context: click.Context,
    *,
    resume_token: str,
    from_now: bool,
    queues: tuple[str, ...],
    projects: tuple[str, ...],
    until_caught_up: bool,
) -> None:
    """Print the ids of created tasks, one a line, from the beginning and then live.

    The place to resume from is printed to standard error at the end. With --json
    each line has its ids and the token that covers them.
    """
    if resume_token and from_now:
        raise click.UsageError("give --resume-token or --from-now, not both")
    request = creator_pb2.StreamCreatedTasksRequest(
        resume_token=resume_token,
        start=_start(resume_token=resume_token, from_now=from_now),
        queues=queues,
        projects=projects,
        until_caught_up=until_caught_up,
    )
    _print_stream(context, request)


def _start(
    *, resume_token: str, from_now: bool
) -> creator_pb2.StreamCreatedTasksRequest.Start.ValueType:
    if resume_token:
        return Start.Value("START_UNSPECIFIED")
    return Start.Value("START_NOW" if from_now else "START_BEGINNING")


def _print_stream(
    context: click.Context, request: creator_pb2.StreamCreatedTasksRequest
) -> None:
    token = request.resume_token
    try:
        with calling.creator(context) as stub:
            for answer in stub.StreamCreatedTasks(request):
                token = answer.resume_token
                _print_answer(context, answer)
    finally:
        if token and not common(context).json:
            click.echo(f"resume with --resume-token {token}", err=True)


def _print_answer(
    context: click.Context, answer: creator_pb2.StreamCreatedTasksResponse
) -> None:
    if common(context).json:
        print_json(answer)
        return
    for task_id in answer.task_ids:
        click.echo(task_id)
