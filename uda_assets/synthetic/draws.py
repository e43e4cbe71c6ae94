"""Draws without state: a number decides what is drawn for it, on every machine the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


def key(*parts: int) -> int:
    """A 64-bit key that is different for every choice of ``parts``."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


def mix(numbers: I64 | U64, key: int) -> U64:
    """A random-looking 64-bit number for each of ``numbers``, different for different ones (SplitMix64)."""
    # In place, as fresh memory costs more here than the arithmetic.
    mixed = numbers.astype(np.uint64)
    shifted = np.empty_like(mixed)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(key)
    for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= np.right_shift(mixed, np.uint64(bits), out=shifted)
        mixed *= np.uint64(factor)
    mixed ^= np.right_shift(mixed, np.uint64(31), out=shifted)
    return mixed


def below(draws: U64, limit: int) -> I64:
    """Even numbers from 0 to below ``limit``, from the upper half of the draws: a division would cost far more."""
    return ((draws >> np.uint64(32)) * np.uint64(limit) >> np.uint64(32)).astype(np.int64)


def bits(draws: U64, first: int, count: int) -> I64:
    """Numbers made of ``count`` bits of the draws, from the ``first`` lowest on."""
    return (draws >> np.uint64(first) & np.uint64(2**count - 1)).astype(np.int64)
