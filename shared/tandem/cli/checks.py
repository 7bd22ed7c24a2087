"""What was typed, checked before anything is started. Faults name the option."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from tandem.settings import address


def listens(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Addresses to listen on, each of them host:port."""
    try:
        return tuple(address(value) for value in values)
    except ValueError as fault:
        raise click.BadParameter(str(fault), context, option) from fault


def handlers(context: click.Context, option: click.Parameter, value: str) -> str:
    """`module:name` of which the module exists; whether it has the name, it must tell."""
    module, separator, name = value.partition(":")
    if not (module and separator and name):
        fault = f"must be of the form module:name, not {value!r}"
        raise click.BadParameter(fault, context, option)
    if fault := _absent(module):
        raise click.BadParameter(fault, context, option)
    return value


def _absent(module: str) -> str:
    """Why a service would not find the module; empty if it would."""
    # Services are started with `python -m`, which looks into this folder too.
    sys.path.append(str(Path.cwd()))
    try:
        found = find_spec(module)
    except Exception as error:  # noqa: BLE001 - the packages around it are the user's
        return f"cannot import {module}: {type(error).__name__}: {error}"
    finally:
        sys.path.pop()
    return "" if found else f"there is no module {module}"
