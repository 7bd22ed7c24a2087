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
    here = contextvars.copy_context()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            answer = here.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        else:
            future.set_result(answer)

    name = getattr(function, "__name__", "handler")
    threading.Thread(target=run, name=name, daemon=True).start()
    return future
