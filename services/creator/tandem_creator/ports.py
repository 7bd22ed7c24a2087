"""One address for several processes, and nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tandem.server import PortTaken


@contextmanager
def reserved(listen: str) -> Iterator[str]:
    """The address, with its port, for processes of this user that share it.

    SO_REUSEPORT alone would also let a stranger in, or be let in by one: the port is
    taken without it, and opened to sharing only once it is ours.

    Raises:
        PortTaken: somebody listens there.
    """
    host, _, port = listen.rpartition(":")
    with _bound(host.strip("[]"), int(port), listen) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield f"{host}:{ours.getsockname()[1]}"


def _bound(host: str, port: int, listen: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        ours = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(listen) from error
    try:
        # As servers do: connections that are over do not keep the port.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.bind(address)
    except OSError as error:
        ours.close()
        raise PortTaken(listen) from error
    return ours
