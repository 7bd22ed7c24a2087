"""The handlers that `module:name` stands for.

`python -m tandem.loading module:name` says on one line why a processor would not
have them, and then ends with exit code 2.
"""

from __future__ import annotations

import importlib
import sys

from tandem.handlers import Handlers


class BadHandlers(Exception):
    """What was named cannot be run. The message says why, on one line."""


def load_handlers(name: str) -> Handlers:
    """Import the module and answer its registry.

    Raises:
        BadHandlers: there is no such module or name, the module fails, or
            nothing is registered.
    """
    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise BadHandlers(f"{name!r} is not of the form module:name")
    try:
        module = importlib.import_module(module_name)
    # The module is the user's: anything may come out of it.
    except (Exception, SystemExit) as error:
        detail = " ".join(str(error).split())
        message = f"cannot import {module_name}: {type(error).__name__}: {detail}"
        raise BadHandlers(message) from error
    handlers = getattr(module, attribute, None)
    if not isinstance(handlers, Handlers):
        raise BadHandlers(f"{module_name} has no Handlers named {attribute}")
    if not len(handlers):
        raise BadHandlers(f"{name} has no handler registered")
    return handlers


if __name__ == "__main__":
    try:
        load_handlers(sys.argv[1])
    except BadHandlers as fault:
        print(fault, file=sys.stderr)  # noqa: T201 - the caller reads it
        sys.exit(2)
