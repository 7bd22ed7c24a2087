"""A call in a thread that never holds up the end of the process."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def in_thread(
    function: Callable[..., Answer], *args: Any, **kwargs: Any
) -> Future[Answer]:
    """Run the function in a daemon thread of its own.

    A pool's threads are joined when the interpreter ends, so one handler that
    hangs would keep a stopping process from ever ending.
    """
    future: Future[Answer] = Future()
    name = getattr(function, "__name__", "handler")
    here = contextvars.copy_context()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            answer = here.run(function, *args, **kwargs)
        except StopIteration as error:
            # No coroutine can be told of it: whoever awaits would wait for ever.
            unfit = RuntimeError(f"{name} raised StopIteration")
            unfit.__cause__ = error
            future.set_exception(unfit)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        else:
            future.set_result(answer)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
