"""An embedded PostgreSQL: a folder, a socket in it, and passwords."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tandem.postgres.account import Account, CommandFailed
from tandem.postgres.binaries import Binaries, find_binaries, readable_binaries
from tandem.postgres.locks import Users, exclusive
from tandem.postgres.postmaster import Postmaster

SUPERUSER: Final = "postgres"
SOCKET_PORT: Final = 5432

LOCALE: Final = "C.UTF-8" if sys.platform == "linux" else "C"

START_LIMIT: Final = 120.0
"""Seconds for a start: recovery after a crash may have much to replay."""

STOP_LIMIT: Final = 60.0

# A socket's whole path has to fit into 107 bytes.
LONGEST_SOCKET_FOLDER: Final = 88

# Where the data of root's folders goes that no other account can reach.
SYSTEM_HOMES: Final = Path("/var/lib/tandem")

DEFAULTS: Final = {
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
}


class EmbeddedFailed(RuntimeError):
    """The embedded server did not start. The message has its last log lines."""


class EmbeddedPostgres:
    """A PostgreSQL that lives in one folder and is shared by whoever names it.

    Everything blocks for as long as a server takes to start (about a second the
    first time), so asynchronous callers use a thread. The first process that
    starts the server decides its port and settings.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Name a server. Nothing is started or written yet.

        Args:
            folder: where its data, socket, log and passwords are kept.
            port: on 127.0.0.1, besides the socket. 0: the socket alone.
            settings: of postgresql.conf, by name.
        """
        self.folder = folder.absolute()
        self._port = port
        self._settings = dict(settings or {})
        self._users = Users(self.folder / ".users")

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._home / "postgres.log"

    def pid(self) -> int:
        """The process id of the running server.

        Raises:
            EmbeddedFailed: it does not run.
        """
        return self._running().pid

    def admin_url(self, database: str = "postgres") -> str:
        """A URL for the superuser. It holds the password: never log it."""
        password = self._password_file.read_text().strip()
        return self.url(SUPERUSER, password, database)

    def url(self, user: str, password: str, database: str) -> str:
        """A URL for any role, over the socket. It holds the password."""
        server = self._running()
        return (
            f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}"
            f"@/{quote(database, safe='')}"
            f"?host={quote(str(server.socket_folder))}&port={server.port}"
        )

    @contextmanager
    def used(self) -> Iterator[None]:
        """Run the server for the length of a block, or share the one that runs."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def acquire(self) -> None:
        """Start the server if need be, and count this process among its users."""
        with self._alone():
            self._users.join()
            try:
                self._start()
            except BaseException:
                self._users.leave()
                raise

    def release(self) -> None:
        """Count this process out. The last user stops the server."""
        with self._alone():
            if self._users.leave():
                self._stop()

    def start(self) -> None:
        """Start the server, or find it running. It stays until `stop`.

        Raises:
            EmbeddedFailed: it did not start.
        """
        with self._alone():
            self._start()

    def stop(self) -> None:
        """Stop the server, whoever uses it. Stopping a stopped one does nothing."""
        with self._alone():
            self._stop()

    # ------------------------------------------------------------ starting

    def _start(self) -> None:
        if self._settled():
            return
        self._choose_home()
        self._account.own(self._home, mode=0o700)
        self._own_socket_folder()
        binaries = self._binaries()
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster(binaries)
        self._require_same_major(binaries)
        self._configure()
        self._launch(binaries)

    def _settled(self) -> bool:
        """Whether a server serves. Otherwise none is left that could be in the way."""
        give_up = time.monotonic() + START_LIMIT
        while (server := Postmaster.named_in(self._data)) is not None:
            if server.serves():
                return True
            if not server.is_alive(self._data, self._account):
                server.forget(self._data, self._account)
                return False
            if time.monotonic() > give_up:
                raise EmbeddedFailed(f"a server in {self._data} is stuck: {server}")
            time.sleep(0.05)
        return False

    def _create_cluster(self, binaries: Binaries) -> None:
        if not self._password_file.exists():
            password = secrets.token_urlsafe(24)
            self._account.write(self._password_file, f"{password}\n", mode=0o600)
        half_made = self._home / "data.new"
        for leftover in (half_made, self._data):
            shutil.rmtree(leftover, ignore_errors=True)
        self._initialise(binaries, half_made)
        half_made.rename(self._data)

    def _initialise(self, binaries: Binaries, data: Path) -> None:
        # A setting of fsync = off says that this data need not survive a crash.
        hurry = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        self._run(
            binaries["initdb"],
            f"--pgdata={data}",
            f"--username={SUPERUSER}",
            f"--pwfile={self._password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            f"--locale={LOCALE}",
            "--data-checksums",
            *hurry,
        )

    def _require_same_major(self, binaries: Binaries) -> None:
        major = (self._data / "PG_VERSION").read_text().strip()
        if major != str(binaries.major):
            raise EmbeddedFailed(
                f"{self._data} was made by PostgreSQL {major}, and the programs in"
                f" {binaries.folder} are {binaries.major}: set PG_BINDIR, or use"
                " another folder"
            )

    def _configure(self) -> None:
        settings = {
            **DEFAULTS,
            **self._settings,
            "listen_addresses": "127.0.0.1" if self._port else "",
            "port": str(self._port or SOCKET_PORT),
            "unix_socket_directories": str(self._socket_folder),
        }
        text = "".join(f"{name} = {_quoted(settings[name])}\n" for name in settings)
        self._account.write(self._data / "tandem.conf", text, mode=0o600)
        main = self._data / "postgresql.conf"
        if "include 'tandem.conf'" not in main.read_text():
            with main.open("a") as file:
                file.write("include 'tandem.conf'\n")

    def _launch(self, binaries: Binaries) -> None:
        try:
            self._run(
                binaries["pg_ctl"],
                f"--pgdata={self._data}",
                f"--log={self.log}",
                "--wait",
                f"--timeout={START_LIMIT:.0f}",
                "start",
            )
        except EmbeddedFailed as failure:
            raise EmbeddedFailed(f"{failure}\n{self._last_log_lines()}") from failure

    def _stop(self) -> None:
        server = Postmaster.named_in(self._data)
        if server is None:
            return
        if not server.is_alive(self._data, self._account):
            server.forget(self._data, self._account)
            return
        self._run(
            self._binaries()["pg_ctl"],
            f"--pgdata={self._data}",
            "--mode=fast",
            "--wait",
            f"--timeout={STOP_LIMIT:.0f}",
            "stop",
        )

    # ------------------------------------------------------------ places

    @property
    def _home(self) -> Path:
        link = self.folder / "cluster"
        return link.readlink() if link.is_symlink() else self.folder

    @property
    def _data(self) -> Path:
        return self._home / "data"

    @property
    def _password_file(self) -> Path:
        return self._home / "superuser.password"

    @property
    def _socket_folder(self) -> Path:
        inside = self._home / "socket"
        if len(str(inside)) <= LONGEST_SOCKET_FOLDER:
            return inside
        name = hashlib.sha256(str(self._home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tandem-{name}"

    def _choose_home(self) -> None:
        """Move out of a folder that the server's account cannot reach.

        Root's own home is closed to others, and to open it is not ours to do. A
        link in the folder leads to the data, so that removing the folder still
        means starting anew.
        """
        if self._home != self.folder or self._account.may("-x", self.folder.parent):
            return
        SYSTEM_HOMES.mkdir(mode=0o755, parents=True, exist_ok=True)
        home = SYSTEM_HOMES / secrets.token_hex(6)
        (self.folder / "cluster").symlink_to(home)

    def _own_socket_folder(self) -> None:
        folder = self._socket_folder
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
        # In a folder that everybody can write to, somebody may have been first.
        if folder.is_symlink() or owner not in {os.geteuid(), self._account.uid}:
            raise EmbeddedFailed(f"{folder} belongs to somebody else (uid {owner})")
        self._account.own(folder, mode=0o700)

    # ------------------------------------------------------------ means

    @cached_property
    def _account(self) -> Account:
        return Account.for_server()

    def _binaries(self) -> Binaries:
        found = find_binaries()
        return readable_binaries(found, self._account, copies=self._home / "binaries")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with exclusive(self.folder / ".lock"):
            yield

    def _running(self) -> Postmaster:
        server = Postmaster.named_in(self._data)
        if server is None:
            raise EmbeddedFailed(f"no server runs in {self.folder}")
        return server

    def _run(self, *command: str | Path) -> None:
        try:
            self._account.run(*command)
        except CommandFailed as failure:
            raise EmbeddedFailed(str(failure)) from failure

    def _last_log_lines(self) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def _quoted(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
