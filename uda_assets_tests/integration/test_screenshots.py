"""The documentation's pictures are those that the script makes, and small."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from uda_assets_tests.screenshots import LARGEST, PICTURES, main
from uda_assets_tests.support.places import PROJECT

COMMITTED = PROJECT / "docs/pictures"


def sizes(directory: Path) -> dict[str, tuple[int, int]]:
    """Width and height of each picture, none of which is large."""
    found = {}
    for path in directory.iterdir():
        assert path.stat().st_size < LARGEST, path
        with Image.open(path) as picture:
            found[path.name] = picture.size
    return found


def test_the_committed_pictures_are_small_and_all_there() -> None:
    assert set(sizes(COMMITTED)) == PICTURES


@pytest.mark.heavy
def test_the_script_makes_them_anew(tmp_path: Path) -> None:
    main(tmp_path)
    assert sizes(tmp_path) == sizes(COMMITTED)
