"""Helpers whose assertions are explained like those of a test."""

import pytest

pytest.register_assert_rewrite("uda_assets_tests.integration.feed")
