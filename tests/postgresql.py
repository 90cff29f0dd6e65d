"""A real PostgreSQL server, in a folder and on a port of its own, with a password, stopped and deleted in the end."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, PASSWORD, DATABASE = "zoo", "a-secret-9f2c", "postgres"
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
ACCOUNTS = ("postgres", "nobody")
"""PostgreSQL does not run as root."""


class PostgreSQL:
    """One server, which may be stopped and started again."""

    def __init__(self, folder: Path, binaries: Path, account: str | None) -> None:
        self.folder, self._binaries, self._account = folder, binaries, account
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        password = folder / "password"
        password.write_text(PASSWORD)
        self.passfile = folder / "pgpass"
        self.passfile.write_text(f"127.0.0.1:{self.port}:*:{USER}:{PASSWORD}\n")
        self.passfile.chmod(0o600)
        if account:
            for file in (folder, password):
                shutil.chown(file, account)
        options = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", str(password), "--no-sync"]
        self._do("initdb", *options, "-D", str(folder / "data"))
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        self._do(
            "pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-o", options, "-l", str(self.folder / "log")
        )

    def stop(self) -> None:
        """At once, as if it were killed."""
        self._do("pg_ctl", "stop", "-m", "immediate", "-D", str(self.folder / "data"))

    @property
    def runs(self) -> bool:
        return (self.folder / "data" / "postmaster.pid").exists()

    def _do(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if self._account:
            command = ["runuser", "-u", self._account, "--", *command]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def serving() -> Iterator[PostgreSQL]:
    """A server; PGPASSFILE names its password meanwhile. Skips the test where PostgreSQL is not installed."""
    if not BINARIES:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    account = None
    if os.geteuid() == 0:
        known = [line.partition(":")[0] for line in Path("/etc/passwd").read_text().splitlines()]
        account = next(name for name in ACCOUNTS if name in known)
    folder = Path(tempfile.mkdtemp(prefix="lz-pg-", dir="/tmp"))  # pytest's own folders are closed to other accounts
    server = None
    before = os.environ.get("PGPASSFILE")
    try:
        server = PostgreSQL(folder, BINARIES[-1], account)
        os.environ["PGPASSFILE"] = str(server.passfile)
        yield server
    finally:
        if before is None:
            os.environ.pop("PGPASSFILE", None)
        else:
            os.environ["PGPASSFILE"] = before
        if server and server.runs:
            server.stop()
        shutil.rmtree(folder)
