"""Addresses of services: the usual ones, and which of them only this machine can reach."""

from __future__ import annotations

import ipaddress
from typing import Final

CREATOR_ADDRESS: Final = "127.0.0.1:7101"
PROCESSOR_ADDRESS: Final = "127.0.0.1:7102"
"""Where services listen and are looked for unless somebody says otherwise."""

LARGEST_PORT: Final = 65_535


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach this host:port."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
