"""A path between two services of a run that can be broken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.proxy import Proxy

LIMIT = 10.0


class Path:
    """Passes on what it is sent, until it is told otherwise."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy) -> None:
        self._loop = loop
        self._proxy = proxy

    @property
    def address(self) -> str:
        return self._proxy.address

    def die(self) -> None:
        """Nothing passes any more on what is open, and neither end is told."""
        self._do(self._proxy.die)

    def reset(self) -> None:
        """What is open is broken, and both ends are told; what comes later is whole."""
        self._do(self._proxy.cut)
        self._do(self._proxy.heal)

    def _do(self, act: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(act)


@contextmanager
def path_to(address: str) -> Iterator[Path]:
    """A path of its own thread: whoever measures blocks this one."""
    loop, proxy = asyncio.new_event_loop(), Proxy()
    proxy.target = address
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(proxy.listen(), loop).result(LIMIT)
        yield Path(loop, proxy)
    finally:
        loop.call_soon_threadsafe(proxy.cut)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT)
