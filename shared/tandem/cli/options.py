"""Options of many commands, before or after their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from types import MappingProxyType
from typing import Any, Final

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

_OPTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {"json": json_option, "creator": creator_option, "processor": processor_option}
)


def takes(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Those of `--json`, `--creator` and `--processor` that a command obeys, in any place.

    One of the others that is typed before its name is refused.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def obeying(*args: Any, **options: Any) -> Any:
            _refuse_others(click.get_current_context(), names)
            return function(*args, **options)

        for name in names:
            obeying = _OPTIONS[name](obeying)
        return obeying

    return decorate


def _refuse_others(context: click.Context, names: Sequence[str]) -> None:
    root = context.find_root()
    for name in _OPTIONS.keys() - set(names):
        if root.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{context.command_path} takes no --{name}", context)


common_options = takes("json", "creator", "processor")
