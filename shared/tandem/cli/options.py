"""Options that every command takes, before or after its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click

from tandem.addresses import CREATOR_ADDRESS, PROCESSOR_ADDRESS


@dataclass(slots=True)
class Common:
    """What was asked of the whole command line."""

    json: bool = False
    creator: str = CREATOR_ADDRESS
    processor: str = PROCESSOR_ADDRESS
    given: set[str] = field(default_factory=set)
    """The options that were given, typed or in the environment."""


def common(context: click.Context) -> Common:
    """The one instance of this command line."""
    return context.find_root().ensure_object(Common)


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`, `--creator` and `--processor`, in any place."""
    for option in (json_option, creator_option, processor_option):
        function = option(function)
    return function


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    # Of an inner command only what was typed counts: its default, or the
    # environment, must not undo what was typed before the command's name.
    assert option.name is not None
    source = context.get_parameter_source(option.name)
    typed = source is click.core.ParameterSource.COMMANDLINE
    from_outside = source is click.core.ParameterSource.ENVIRONMENT
    if typed or (from_outside and context.parent is None):
        setattr(common(context), option.name, value)
        common(context).given.add(option.name)


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_keep,
    help="One JSON object a line, for machines.",
)
creator_option = click.option(
    "--creator",
    metavar="HOST:PORT[,...]",
    envvar="TANDEM_CREATOR_ADDRESS",
    expose_value=False,
    callback=_keep,
    help=f"Where creators listen.  [default: {CREATOR_ADDRESS}]",
)
processor_option = click.option(
    "--processor",
    metavar="HOST:PORT[,...]",
    envvar="TANDEM_PROCESSOR_ADDRESS",
    expose_value=False,
    callback=_keep,
    help=f"Where processors listen.  [default: {PROCESSOR_ADDRESS}]",
)
