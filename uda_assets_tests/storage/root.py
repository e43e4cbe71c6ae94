"""Helpers for tests of a data root in a bucket."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import s3fs
from aiobotocore.client import AioBaseClient  # type: ignore[import-untyped]

from uda_assets.basics.settings import Settings, load_settings
from uda_assets.lake import Lake, open_lake
from uda_assets_tests.support import chain
from uda_assets_tests.support.chain import HEADER, record
from uda_assets_tests.support.s3_server import client, new_bucket

RESULT = "results/Result_top_n_by_platform.csv"
DROPS = {
    "a.csv": HEADER + record("s1") + record("s2", "web") + "broken\n" + record("s1"),
    "sub/b [x]*.csv": HEADER + record("s1") + record("s3", user="u2") + record("s4", "tv"),
    "d 'ü'.csv": HEADER + record("s5", user="u2"),
}


class Root:
    """A data root in a new bucket."""

    def __init__(self, endpoint: str) -> None:
        self.files: s3fs.S3FileSystem = client(endpoint)
        self.base = f"{new_bucket(endpoint)}/some where/lake"
        self.endpoint = endpoint

    def settings(self, **overrides: Any) -> Settings:
        defaults = {"data_root": f"s3://{self.base}", "s3_endpoint": self.endpoint, "threads": 2, "lock_timeout": 30}
        return load_settings({}, **(defaults | overrides))

    def lake(self) -> Lake:
        return open_lake(self.settings())

    def deliver(self, drop: str, content: str | bytes) -> None:
        self.files.pipe_file(f"{self.base}/datasets/{drop}", content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> bytes:
        content: bytes = self.files.cat_file(f"{self.base}/{path}")
        return content

    def names(self) -> set[str]:
        return {name.removeprefix(f"{self.base}/") for name in self.files.find(self.base)}

    def debris(self) -> set[str]:
        """Return the files that are neither those of the current state nor kept for readers of an earlier one."""
        lake = self.lake()
        state = lake.state()
        named = {path for manifest in state.drops.values() for path in lake.paths_of(manifest)}
        named |= {lake.session_path(path) for path in state.sessions.paths()} if state.sessions else set()
        named |= {lake.session_path(file.path) for file in state.day_files()}
        named |= {*state.obsolete, *state.superseded, *state.outdated, "sessions/_manifest.json"}
        places = ("dataset_parquets/", "quarantine/", "sessions/", ".uda/staging/")
        return {name for name in self.names() if name.startswith(places)} - named

    def run(self, **overrides: Any) -> list[str]:
        settings = self.settings(**overrides)
        report = chain.build(open_lake(settings), settings)
        return [manifest.drop for manifest in report.converted]

    def verify(self) -> None:
        chain.verify(self.lake())


def in_a_directory(path: Path, steps: list[dict[str, str]]) -> bytes:
    """Return the leaderboard that the same deliveries give in a directory, with a run after each step."""
    for drops in steps:
        for drop, content in drops.items():
            chain.deliver(path, drop, content)
        chain.run(path)
    return (path / RESULT).read_bytes()


def environment(root: Root) -> dict[str, str]:
    """Return the environment in which a program works on a data root."""
    return os.environ | {"UDA_S3_ENDPOINT": root.endpoint, "UDA_DATA_ROOT": f"s3://{root.base}", "UDA_THREADS": "2"}


def uda(root: Root, *arguments: str, **further: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uda_assets", *arguments]
    return subprocess.run(
        command, env=environment(root) | further, capture_output=True, text=True, timeout=100, check=False
    )


class Request(NamedTuple):
    """A request to the bucket: when it was made, its method, and the object or prefix that it is about."""

    at: float
    method: str
    key: str


@contextmanager
def counting() -> Iterator[list[Request]]:
    """Note all requests that this process makes meanwhile, at the client through which each of them goes."""
    requests: list[Request] = []
    call = AioBaseClient._make_api_call

    async def counted(self: Any, method: str, parameters: dict[str, Any]) -> Any:
        requests.append(Request(time.time(), method, str(parameters.get("Key", parameters.get("Prefix", "")))))
        return await call(self, method, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AioBaseClient, "_make_api_call", counted)
        yield requests
