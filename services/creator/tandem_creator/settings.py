"""What an operator may decide about a creator."""

from __future__ import annotations

from dataclasses import dataclass

from tandem.addresses import CREATOR_ADDRESS, LARGEST_PORT
from tandem.settings import (
    Address,
    Count,
    Flag,
    InvalidSettings,
    Settings,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatorSettings(Settings):
    """The settings of one creator process."""

    listen: Address = CREATOR_ADDRESS
    """The address to serve on. Port 0 takes a free one."""

    processes: Count = 1
    """Processes that serve on this address together."""

    share_port: Flag = False
    """Set for each of several by the process that started them. It ends with its
    standard input."""

    require_request_id: Flag = False
    """Whether a create without a request id, its own or its batch's, is refused."""

    def __post_init__(self) -> None:
        if self.metrics_listen_of(self.processes - 1) is None:
            raise InvalidSettings(
                "TANDEM_METRICS_LISTEN leaves no port for the last of"
                f" {self.processes} processes: each takes the next one"
            )

    def metrics_listen_of(self, number: int) -> str | None:
        """Where so many processes after the first tell metrics; None: there is no such port.

        Each has a port of its own, one after the other; with port 0, any.
        """
        host, _, port = self.metrics_listen.rpartition(":")
        if not host or port == "0":
            return self.metrics_listen
        last = int(port) + number
        return f"{host}:{last}" if last <= LARGEST_PORT else None
