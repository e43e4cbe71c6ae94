"""Settings: an error names the variable or flag that holds the invalid value."""

from __future__ import annotations

import pytest

from uda_assets.basics.errors import UsageError
from uda_assets.basics.settings import load_settings


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
