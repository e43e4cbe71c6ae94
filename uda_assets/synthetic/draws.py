"""Stateless random draws: each draw is computed from a number, and is the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def make_key(*parts: int) -> int:
    """Return a 64-bit key that is different for different ``parts``."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def mix(numbers: I64 | U64, key: int) -> U64:
    """Return a random-looking 64-bit number for each number, and different ones for different numbers (SplitMix64)."""
    # The arithmetic is done in place, because allocating memory would cost more than the arithmetic itself.
    mixed = numbers.astype(np.uint64)
    shifted = np.empty_like(mixed)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= np.right_shift(mixed, np.uint64(shift), out=shifted)
        mixed *= np.uint64(factor)
    mixed ^= np.right_shift(mixed, np.uint64(31), out=shifted)
    return mixed


def below(draws: U64, limit: int) -> I64:
    """Return uniform numbers from 0 up to but not including ``limit``, taken from the upper half of each draw."""
    # A multiplication and a shift, because a division would cost far more.
    return ((draws >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)


def bits(draws: U64, first: int, count: int) -> I64:
    """Return ``count`` bits of each draw as a number, starting at bit ``first``, where bit 0 is the lowest."""
    return (draws >> np.uint64(first) & np.uint64(2**count - 1)).astype(np.int64)
