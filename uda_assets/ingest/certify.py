"""Which records of a block are certainly sound, told in a few passes over whole columns.

The contract's own rules (:func:`uda_assets.contract.judge`) are exact and name reasons; this is the short cut in front
of them. What it certifies would be kept by the contract, as it stands. All else is doubtful, and left to the contract.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from uda_assets.basics.arrow import Mask, bytes_of, column_of, numbers_of, rows_of, texts_of
from uda_assets.contract.columns import COLUMNS
from uda_assets.contract.platforms import Platforms, normalise_platform
from uda_assets.contract.times import read_times

SPELLED = pa.dictionary(pa.int32(), pa.string())
"""Type of columns of few values: each is looked at once."""

TOKEN_TYPES = {
    "user_id": pa.string(),
    "session_id": pa.string(),
    "platform": SPELLED,
    "activity_time": pa.string(),
    "activity_type": SPELLED,
}
"""The five columns as the tokeniser gives them."""

KEPT_SCHEMA = pa.schema(
    [(name, pa.timestamp("us", "UTC") if name == "activity_time" else kind) for name, kind in TOKEN_TYPES.items()]
)
"""Accepted records while they are read: the contract's ``RECORD_SCHEMA``, with few-valued columns as dictionaries."""
NOTHING_KEPT = pa.Table.from_batches([], schema=KEPT_SCHEMA)

_SPACE = ord(" ")


class Certified(NamedTuple):
    """What is certainly sound.

    Attributes:
        kept: The certified records, in ``KEPT_SCHEMA``.
        doubtful: Numbers of the other rows.
        spellings: Certified records by normalised platform spelling.

    """

    kept: pa.Table
    doubtful: npt.NDArray[np.int64]
    spellings: dict[str, int]


def certify(fields: dict[str, pa.Array], platforms: Platforms) -> Certified:
    """Tell certainly sound records from doubtful ones.

    Args:
        fields: The five columns in ``TOKEN_TYPES``, untrimmed, of one length. The caller knows that they hold no
            control character, and no white space but spaces.
        platforms: The platform table.

    """
    spelled = fields["platform"]
    canonical = [platforms.resolve(text) for text in spelled.dictionary.to_pylist()]
    codes = numbers_of(spelled.indices)
    micros, sound = read_times(fields["activity_time"])
    sound &= _trimmed(fields["user_id"]) & _trimmed(fields["session_id"])
    kind = fields["activity_type"]
    if len(codes):
        sound &= np.array([name is not None for name in canonical])[codes]
        sound &= _trimmed(kind.dictionary)[numbers_of(kind.indices)]
    columns = [
        fields["user_id"], fields["session_id"], _renamed(codes, canonical),
        column_of(micros, KEPT_SCHEMA.field("activity_time").type), kind,
    ]  # fmt: skip
    kept = pa.Table.from_arrays(columns, schema=KEPT_SCHEMA)
    if sound.all():
        return Certified(kept, np.empty(0, np.int64), _spellings(spelled.dictionary, codes))
    counted = _spellings(spelled.dictionary, codes[sound])
    return Certified(kept.take(rows_of(np.flatnonzero(sound))), np.flatnonzero(~sound), counted)


def _trimmed(texts: pa.Array) -> Mask:
    """Where a text is neither empty nor begins or ends with a space."""
    content, bounds = bytes_of(texts)
    if not len(content):
        return np.zeros(len(texts), bool)
    starts, ends = bounds[:-1], bounds[1:]
    # Of an empty text some other byte is looked at, which changes nothing.
    first, last = content[np.minimum(starts, len(content) - 1)], content[ends - 1]
    trimmed: Mask = (ends > starts) & (first != _SPACE) & (last != _SPACE)
    return trimmed


def _renamed(codes: npt.NDArray[np.int32], names: list[str | None]) -> pa.Array:
    """A dictionary column with other values; values that are alike become one."""
    distinct = sorted({name for name in names if name is not None})
    places = {name: place for place, name in enumerate(distinct)}
    recoded = np.array([places.get(name or "", 0) for name in names], np.int32)
    indices = column_of(recoded[codes] if len(codes) else codes, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, texts_of(distinct or [""]))


def _spellings(dictionary: pa.Array, codes: npt.NDArray[np.int32]) -> dict[str, int]:
    counts: dict[str, int] = {}
    numbers = np.bincount(codes, minlength=len(dictionary)).tolist() if len(codes) else []
    for spelling, records in zip(dictionary.to_pylist(), numbers, strict=False):
        normal = normalise_platform(spelling)
        if records:
            counts[normal] = counts.get(normal, 0) + records
    return counts


assert tuple(TOKEN_TYPES) == COLUMNS
