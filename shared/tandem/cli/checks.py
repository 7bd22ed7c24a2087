"""What was typed, checked before anything is started. Faults name the option."""

from __future__ import annotations

import subprocess
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
    """`module:name` that a processor would load. The default is not looked at."""
    module, separator, name = value.partition(":")
    if not (module and separator and name):
        fault = f"must be of the form module:name, not {value!r}"
        raise click.BadParameter(fault, context, option)
    if fault := _absent(module):
        raise click.BadParameter(fault, context, option)
    if value != option.default and (fault := _unloadable(value)):
        raise click.BadParameter(fault, context, option)
    return value


def _unloadable(value: str) -> str:
    """Why a processor could not run these; empty if it could.

    In a process of its own: what an import of the user's module does is not for
    this one.
    """
    command = (sys.executable, "-m", "tandem.loading", value)
    tried = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - ours
    return "" if tried.returncode == 0 else tried.stderr.strip().rpartition("\n")[2]


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
