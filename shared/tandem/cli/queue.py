"""`tandem queue pause|resume`: whether processors claim from a queue."""

from __future__ import annotations

import click

from tandem.cli import calling
from tandem.cli.options import common, common_options
from tandem.cli.output import print_json
from tandem.v1 import processor_pb2


@click.group()
@common_options
def queue() -> None:
    """Stop claims from a queue, and allow them again."""


@queue.command()
@click.argument("name")
@common_options
@click.pass_context
def pause(context: click.Context, name: str) -> None:
    """Claim nothing more from a queue. What runs goes on, and so do creates."""
    request = processor_pb2.PauseQueueRequest(queue=name)
    with calling.processor(context) as stub:
        stub.PauseQueue(request, timeout=calling.CALL_LIMIT)
    _show(context, name, paused=True)


@queue.command()
@click.argument("name")
@common_options
@click.pass_context
def resume(context: click.Context, name: str) -> None:
    """Claim from a queue again."""
    request = processor_pb2.ResumeQueueRequest(queue=name)
    with calling.processor(context) as stub:
        stub.ResumeQueue(request, timeout=calling.CALL_LIMIT)
    _show(context, name, paused=False)


def _show(context: click.Context, name: str, *, paused: bool) -> None:
    if common(context).json:
        print_json({"queue": name, "paused": paused})
    else:
        click.echo(f"{name}  {'paused' if paused else 'not paused'}")
