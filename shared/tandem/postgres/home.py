"""Where the files of an embedded server are, and whose they are."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from tandem.postgres.account import Account

# A socket's whole path has to fit into 107 bytes.
LONGEST_SOCKET_FOLDER: Final = 88

# Where the data of root's folders goes that no other account can reach.
SYSTEM_HOMES: Final = Path("/var/lib/tandem")


class NotOurs(RuntimeError):
    """A folder that we need belongs to somebody else."""


class Home:
    """The files of one server. Mostly the folder itself; see `settle`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def path(self) -> Path:
        link = self._folder / "cluster"
        return link.readlink() if link.is_symlink() else self._folder

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def log(self) -> Path:
        return self.path / "postgres.log"

    @property
    def password_file(self) -> Path:
        return self.path / "superuser.password"

    @property
    def copies(self) -> Path:
        """For programs that the server's account cannot reach where they are."""
        return self.path / "binaries"

    @property
    def socket_folder(self) -> Path:
        inside = self.path / "socket"
        if len(str(inside)) <= LONGEST_SOCKET_FOLDER:
            return inside
        name = hashlib.sha256(str(self.path).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tandem-{name}"

    def settle(self, account: Account) -> None:
        """Give the account its folders, and nobody else.

        Root's own home is closed to the account, and to open it is not ours to do:
        then the files go elsewhere. A link in the folder leads to them, so that
        removing the folder still means starting anew.

        Raises:
            NotOurs: somebody else was first where everybody may write.
        """
        if self.path == self._folder and not account.may("-x", self._folder.parent):
            SYSTEM_HOMES.mkdir(mode=0o755, parents=True, exist_ok=True)
            (self._folder / "cluster").symlink_to(SYSTEM_HOMES / secrets.token_hex(6))
        account.own(self.path, mode=0o700)
        self._own_socket_folder(account)

    def _own_socket_folder(self, account: Account) -> None:
        folder = self.socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
        if folder.is_symlink() or owner not in {os.geteuid(), account.uid}:
            raise NotOurs(f"{folder} belongs to somebody else (uid {owner})")
        account.own(folder, mode=0o700)
