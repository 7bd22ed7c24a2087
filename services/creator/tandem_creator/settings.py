"""What an operator may decide about a creator."""

from __future__ import annotations

from dataclasses import dataclass

from tandem.settings import Address, Flag, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatorSettings(Settings):
    """The settings of one creator process."""

    listen: Address = "127.0.0.1:7101"
    """The address to serve on. Port 0 takes a free one."""

    require_request_id: Flag = False
    """Whether a create without a request id, its own or its batch's, is refused."""
