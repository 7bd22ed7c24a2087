"""What an operator may decide about a processor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tandem.addresses import CREATOR_ADDRESS, PROCESSOR_ADDRESS
from tandem.client import Credentials, InvalidCredentials
from tandem.settings import (
    Address,
    Addresses,
    Count,
    InvalidSettings,
    Names,
    Seconds,
    Settings,
    Text,
)

LEAST_BEATS: Final = 2
"""Heartbeats that fit into the limit: one that is late must not kill its processor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessorSettings(Settings):
    """Each field is read from `TANDEM_<FIELD>`."""

    listen: Address = PROCESSOR_ADDRESS
    """The address to serve on. Port 0 takes a free one."""

    creator_address: Addresses = (CREATOR_ADDRESS,)
    """Creators, of which one at a time is followed."""

    queues: Names = ("default",)
    """The queues that are worked."""

    handlers: Text
    """`module:name` of the Handlers."""

    concurrency: Count = 32
    """The most tasks that run at once."""

    heartbeat: Seconds = 3.0
    """Seconds between heartbeats."""

    dead_after: Seconds = 15.0
    """Seconds without a heartbeat after which a processor's tasks are returned."""

    client_tls: Text = ""
    """`true`: creators are called over TLS, also without files. `off`: a token may go
    to them in the clear."""

    client_ca: Text = ""
    """A PEM file: the CA that signs the creators' certificates."""

    client_cert: Text = ""
    """A PEM file: the certificate to show to creators."""

    client_key: Text = ""
    """A PEM file: the key of that certificate."""

    client_token: Text = field(default="", repr=False)
    """The API key or JSON Web Token to show to creators."""

    client_token_file: Text = ""
    """A file with it, read for each stream."""

    @property
    def credentials(self) -> Credentials:
        """What is shown to creators.

        Raises:
            InvalidCredentials: a file cannot be read now.
        """
        return Credentials.of_texts(
            token=self.client_token,
            token_file=self.client_token_file,
            ca=self.client_ca,
            cert=self.client_cert,
            key=self.client_key,
            tls=self.client_tls,
        )

    def __post_init__(self) -> None:
        try:
            self.credentials.require_safe(self.creator_address)
        except InvalidCredentials as fault:
            raise InvalidSettings(str(fault)) from fault
        if self.heartbeat <= 0:
            raise InvalidSettings("TANDEM_HEARTBEAT must be more than 0")
        if self.dead_after < LEAST_BEATS * self.heartbeat:
            raise InvalidSettings(
                "TANDEM_DEAD_AFTER must be at least twice TANDEM_HEARTBEAT"
            )
