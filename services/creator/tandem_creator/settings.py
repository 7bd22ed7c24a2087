"""What an operator may decide about a creator."""

from __future__ import annotations

from dataclasses import dataclass

from tandem.settings import Address, Count, Flag, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatorSettings(Settings):
    """The settings of one creator process."""

    listen: Address = "127.0.0.1:7101"
    """The address to serve on. Port 0 takes a free one."""

    processes: Count = 1
    """Processes that serve on this address together."""

    share_port: Flag = False
    """Set for each of several by the process that started them. It ends with its
    standard input."""

    require_request_id: Flag = False
    """Whether a create without a request id, its own or its batch's, is refused."""
