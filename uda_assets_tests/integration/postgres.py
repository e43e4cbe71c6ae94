"""A throw-away PostgreSQL on loopback, by Debian's packages."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy

from uda_assets_tests.support.dev_server import free_port, wait

AT_MOST = 600
"""Seconds after which the server ends by itself, whatever became of the tests."""


def binaries() -> Path | None:
    """Where the newest PostgreSQL has its programs; Debian keeps them off the search path."""
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda path: int(path.parent.name))
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """A new cluster with its server; gives the variables of docs/deployment/dagster.yaml."""
    programs = binaries()
    assert programs
    # PostgreSQL does not run as root. The home of the cluster is not below pytest's, which is root's alone.
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="uda-postgres-"))
    try:
        password, port = secrets.token_hex(16), free_port()
        (home / "password").write_text(password)
        if user:
            _give(home, user)
        made = subprocess.run(
            [programs / "initdb", "--pgdata", home / "data", "--username", "dagster", "--auth", "scram-sha-256",
             "--pwfile", home / "password", "--encoding", "UTF8", "--locale", "C", "--no-sync"],
            user=user, cwd=home, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        variables = {
            "DAGSTER_PG_HOST": "127.0.0.1",
            "DAGSTER_PG_PORT": str(port),
            "DAGSTER_PG_DB": "postgres",
            "DAGSTER_PG_USER": "dagster",
            "DAGSTER_PG_PASSWORD": password,
        }
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                ["timeout", "--signal=INT", "--kill-after=20", str(AT_MOST), programs / "postgres",
                 "-D", home / "data", "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"],
                user=user, cwd=home, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            wait(lambda: server.poll() is not None or _answers(variables), 60)
            assert server.poll() is None, (home / "log").read_text()
            yield variables
        finally:
            # An interrupt ends connections too; `timeout` hands it on.
            server.send_signal(signal.SIGINT)
            server.wait(60)
    finally:
        shutil.rmtree(home)


def rows(variables: dict[str, str], query: str) -> list[tuple[Any, ...]]:
    """What the database answers."""
    engine = sqlalchemy.create_engine(_url(variables), poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]


def _url(variables: dict[str, str]) -> sqlalchemy.URL:
    return sqlalchemy.URL.create(
        "postgresql+psycopg2",
        variables["DAGSTER_PG_USER"],
        variables["DAGSTER_PG_PASSWORD"],
        variables["DAGSTER_PG_HOST"],
        int(variables["DAGSTER_PG_PORT"]),
        variables["DAGSTER_PG_DB"],
    )


def _answers(variables: dict[str, str]) -> bool:
    try:
        return rows(variables, "SELECT 1") == [(1,)]
    except sqlalchemy.exc.OperationalError:
        return False


def _give(home: Path, user: str) -> None:
    account = pwd.getpwnam(user)
    for path in (home, *home.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid)
