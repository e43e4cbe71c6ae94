"""Settings: an error names the variable or flag that holds the invalid value."""

from __future__ import annotations

import pytest

from uda_assets.basics.errors import UsageError
from uda_assets.basics.settings import load_settings
from uda_assets.storage import root_of


@pytest.mark.parametrize("value", ["20260101", "2026-W01-1", "2026-1-1", "tomorrow"])
def test_the_first_day_is_a_date_as_dagster_reads_it(value: str) -> None:
    with pytest.raises(UsageError, match=f"UDA_DAILY_START must be a date like 2026-01-31, not '{value}'"):
        load_settings({"UDA_DAILY_START": value})


@pytest.mark.parametrize(
    ("n", "complaint"), [(0, "n must be at least 1, not 0"), (2**63, f"n must be at most {2**63 - 1}, not {2**63}")]
)
def test_n_has_bounds(n: int, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        load_settings({}, n=n)


def test_nothing_is_no_bound_and_overrides_one() -> None:
    settings = load_settings({"UDA_SINCE": "2026-01-01", "UDA_UNTIL": "2026-02-01"}, since="", until=None)
    assert settings.since is None
    assert settings.until is not None


@pytest.mark.parametrize(("text", "kept"), [("true", True), ("false", False), ("", None)])
def test_whether_unknown_platforms_are_kept_is_left_open_by_default(text: str, kept: bool | None) -> None:
    assert load_settings({"UDA_KEEP_UNKNOWN_PLATFORMS": text}).keep_unknown_platforms is kept


def test_what_is_neither_true_nor_false_is_named() -> None:
    complaint = "UDA_KEEP_UNKNOWN_PLATFORMS cannot be 'perhaps': it takes true or false"
    with pytest.raises(UsageError, match=complaint):
        load_settings({"UDA_KEEP_UNKNOWN_PLATFORMS": "perhaps"})


@pytest.mark.parametrize("name", ["MEMORY_LIMIT", "DASK_MEMORY_LIMIT", "DASK_RANGE_BYTES", "MAX_RECORD_BYTES"])
def test_a_size_that_is_none_is_named_by_whoever_loads_the_settings(name: str) -> None:
    with pytest.raises(UsageError, match=f"UDA_{name} cannot be 'much'; write it like 1GiB"):
        load_settings({f"UDA_{name}": "much"})


@pytest.mark.parametrize("value", ["hourly", "0 * * *", "* * * * * * *"])
def test_a_schedule_is_a_cron_expression(value: str) -> None:
    with pytest.raises(UsageError, match="UDA_SCHEDULE must be a cron expression"):
        load_settings({"UDA_SCHEDULE": value})
    assert load_settings({"UDA_SCHEDULE": "@daily"}).schedule == "@daily"


@pytest.mark.parametrize("endpoint", ["garbage", "localhost:9000", "http://", "ftp://host", "http://host:port"])
def test_an_endpoint_that_is_no_address_is_named(endpoint: str) -> None:
    with pytest.raises(UsageError, match="UDA_S3_ENDPOINT must be an address such as"):
        load_settings({"UDA_S3_ENDPOINT": endpoint})


@pytest.mark.parametrize("schedule", ["99 * * * *", "* * *", "@sometimes", "a b c d e", "0 0 31 2 *x", "*/0 * * * *"])
def test_a_schedule_that_is_none_is_named(schedule: str) -> None:
    with pytest.raises(UsageError, match="UDA_SCHEDULE must be a cron expression"):
        load_settings({"UDA_SCHEDULE": schedule})


@pytest.mark.parametrize("schedule", ["0 * * * *", "*/5 8-18 * * mon-fri", "@daily", "0 0 1,15 * *"])
def test_a_schedule_is_taken(schedule: str) -> None:
    assert load_settings({"UDA_SCHEDULE": schedule}).schedule == schedule


def test_a_data_root_may_begin_with_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(root_of(load_settings({"UDA_DATA_ROOT": "~/x"}))) == "/home/somebody/x"
    assert str(root_of(load_settings({}, data_root="~/x"))) == "/home/somebody/x"
