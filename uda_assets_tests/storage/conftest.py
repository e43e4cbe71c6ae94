"""Fixtures: a server with an S3 API, and a data root in a new bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from uda_assets.storage import lease
from uda_assets_tests.storage.root import Root
from uda_assets_tests.support.s3_server import CREDENTIALS, s3_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield address


@pytest.fixture
def root(endpoint: str) -> Root:
    return Root(endpoint)


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.5)
