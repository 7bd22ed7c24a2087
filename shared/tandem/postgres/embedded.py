"""An embedded PostgreSQL: a folder, a socket in it, and passwords."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tandem.postgres.account import Account, CommandFailed, NoAccount
from tandem.postgres.binaries import (
    Binaries,
    NoPostgres,
    find_binaries,
    readable_binaries,
)
from tandem.postgres.cluster import SUPERUSER, WrongMajor, configure, ensure_cluster
from tandem.postgres.home import Home, NotOurs
from tandem.postgres.locks import StillLocked, Users, exclusive
from tandem.postgres.postmaster import Postmaster, StillInUse

START_LIMIT: Final = 120.0
"""Seconds for a start: recovery after a crash may have much to replay."""

STOP_LIMIT: Final = 60.0
"""Seconds for a stop, its checkpoint included."""

LOOK_AGAIN: Final = 0.05
"""Seconds."""

LINES_SHOWN: Final = 15
"""Of its log, where a start failed."""

FAILURES: Final = (
    CommandFailed,
    NoAccount,
    NoPostgres,
    NotOurs,
    StillInUse,
    StillLocked,
    WrongMajor,
)


class EmbeddedFailed(RuntimeError):
    """The embedded server did not start or stop, or does not run."""


class EmbeddedPostgres:
    """A PostgreSQL that lives in one folder and is shared by whoever names it.

    Everything blocks for as long as a server takes to start (about a second the
    first time), so asynchronous callers use a thread. The process that starts the
    server decides its port and settings. A user that is killed stops counting; a
    server that is killed comes back with the next start, and keeps its rows.
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
        self._home = Home(self.folder)
        self._port = port
        self._settings = dict(settings or {})
        self._users = Users(self.folder / ".users")

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._home.log

    def pid(self) -> int:
        """The process id of the running server.

        Raises:
            EmbeddedFailed: it does not run.
        """
        return self._running().pid

    def has_ended(self) -> bool:
        """Whether no server is left, be it stopped or killed. One that hangs is left."""
        server = Postmaster.named_in(self._home.data)
        if server is None:
            return True
        return not server.serves() and not server.is_alive(
            self._home.data, self._account
        )

    def admin_url(self, database: str = "postgres") -> str:
        """A URL for the superuser. It holds the password: never log it.

        Raises:
            EmbeddedFailed: the server does not run.
        """
        self._running()
        password = self._home.password_file.read_text().strip()
        return self.url(SUPERUSER, password, database)

    def url(self, user: str, password: str, database: str) -> str:
        """A URL for any role, over the socket. It holds the password.

        Raises:
            EmbeddedFailed: the server does not run.
        """
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

    def _start(self) -> None:
        if self._settled():
            return
        self._home.settle(self._account)
        binaries = self._binaries()
        hurry = self._settings.get("fsync") == "off"
        ensure_cluster(self._home, self._account, binaries, hurry=hurry)
        self._launch(binaries)

    def _settled(self) -> bool:
        """Whether a server serves. If not, none is left that could be in the way."""
        give_up = time.monotonic() + START_LIMIT
        while (server := Postmaster.named_in(self._home.data)) is not None:
            if server.serves():
                return True
            if not server.is_alive(self._home.data, self._account):
                server.forget(self._home.data, self._account)
                return False
            if time.monotonic() > give_up:
                raise EmbeddedFailed(f"process {server.pid} neither serves nor ends")
            time.sleep(LOOK_AGAIN)
        return False

    def _launch(self, binaries: Binaries) -> None:
        configure(self._home, self._account, port=self._port, settings=self._settings)
        try:
            self._pg_ctl(binaries, "start", START_LIMIT, f"--log={self.log}")
        except CommandFailed as failure:
            raise EmbeddedFailed(f"{failure}\n{self._last_log_lines()}") from failure

    def _stop(self) -> None:
        server = Postmaster.named_in(self._home.data)
        if server is None:
            return
        if not server.is_alive(self._home.data, self._account):
            server.forget(self._home.data, self._account)
            return
        self._pg_ctl(self._binaries(), "stop", STOP_LIMIT, "--mode=fast")

    def _pg_ctl(
        self, binaries: Binaries, action: str, limit: float, option: str
    ) -> None:
        self._account.run(
            binaries["pg_ctl"],
            f"--pgdata={self._home.data}",
            "--wait",
            f"--timeout={limit:.0f}",
            option,
            action,
        )

    @cached_property
    def _account(self) -> Account:
        return Account.for_server()

    def _binaries(self) -> Binaries:
        found = find_binaries()
        return readable_binaries(found, self._account, copies=self._home.copies)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with exclusive(self.folder / ".lock"):
                yield
        except FAILURES as failure:
            raise EmbeddedFailed(str(failure)) from failure

    def _running(self) -> Postmaster:
        server = Postmaster.named_in(self._home.data)
        if server is None:
            raise EmbeddedFailed(
                f"no server runs in {self.folder}: start one with `tandem up`, or name"
                " another folder"
            )
        return server

    def _last_log_lines(self) -> str:
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LINES_SHOWN:])
