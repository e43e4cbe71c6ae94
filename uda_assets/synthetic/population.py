"""Who and where: the users, and which session is whose, on which platform."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from faker import Faker

from uda_assets.synthetic.config import GeneratorConfig
from uda_assets.synthetic.draws import I64, U64, bits, key, mix
from uda_assets.synthetic.words import Rows

PLATFORMS = ("Android", "Web", "iOS")
"""Canonical names of the platforms that occur, in ascending order."""

# Of 16 users, how many prefer which platform.
_PREFERENCE: I64 = np.repeat(np.arange(3), (7, 3, 6))
_NEXT_PLATFORM: I64 = np.array([1, 2, 0])
_NAMES = 256
ID_LENGTH = 16
# Two digits for each byte.
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint16)


class _Identity(NamedTuple):
    user: I64
    platform: I64
    session_id: U64


class Population:
    """The users, and which session belongs to which of them, on which platform, by the session's number."""

    def __init__(self, config: GeneratorConfig) -> None:
        self.users = config.population
        self.names = _user_names(config.seed, self.users)
        self._keys = [key(config.seed, 1, purpose) for purpose in range(3)]
        # Which user is the busiest, the next and so on. The factor spreads the busy ones over the numbers; as it shares
        # no divisor with their number, everybody has a turn.
        factor = next(n for n in range(round(self.users * 0.618) | 1, 2**32) if math.gcd(n, self.users) == 1)
        self._by_rank: I64 = (np.arange(1, self.users + 1) * factor) % self.users
        self._preference = _PREFERENCE[bits(mix(np.arange(self.users), self._keys[2]), 0, 4)].astype(np.int8)

    def identify(self, sessions: I64) -> _Identity:
        """Whose the sessions are. Different numbers are different as (platform, user, session id)."""
        # Now and then the next session's user and id show up on another platform: the same id, but another session.
        shared = sessions & 63 == 0
        owners = sessions + shared
        draws = mix(owners, self._keys[0])
        # The cube of an even draw makes the nth user about n ** -2/3 as busy as the first. Multiplication alone, unlike
        # powers and logarithms, gives the same bits on every machine.
        even = (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53
        user = self._by_rank[(even * even * even * self.users).astype(np.int64)]
        # The lowest bits are not part of the even draw: one session in eight is not on the user's usual platform.
        platform = np.where(bits(draws, 0, 3), self._preference[user], _PREFERENCE[bits(draws, 3, 4)])
        platform = np.where(shared, _NEXT_PLATFORM[platform], platform)
        return _Identity(user, platform, mix(owners, self._keys[1]))

    def owners(self, sessions: I64) -> I64:
        """Whose the sessions are, as one number for platform and user."""
        who = self.identify(sessions)
        return who.platform * self.users + who.user


def _user_names(seed: int, users: int) -> pl.Series:
    """Unique names for any number of users, from a small pool: Faker is far too slow to make each of millions."""
    numbers = np.arange(users)
    pool = pl.Series(_name_pool(seed, min(users, _NAMES))).gather(numbers % _NAMES)
    return pl.select(pl.concat_str([pool, pl.Series(numbers)], separator="_")).to_series()


@lru_cache(maxsize=4)
def _name_pool(seed: int, size: int) -> tuple[str, ...]:
    """User names, one of 16 less harmless than a program may hope: with commas, quotes, another script.

    Kept, because a supplier draws every drop from the same population, and making them takes longer than a small drop.
    """
    # All that Faker can make takes long to load; no more is loaded than what makes names.
    english = Faker("en_US", providers=[f"faker.providers.{topic}" for topic in ("person", "internet", "lorem")])
    japanese = Faker("ja_JP", providers=["faker.providers.person"])
    for faker in (english, japanese):
        faker.seed_instance(seed)
    odd: list[Callable[[], str]] = [
        lambda: f"{english.last_name()}, {english.first_name()}",
        lambda: f'{english.first_name()} "{english.word()}" {english.last_name()}',
        japanese.name,
    ]
    return tuple(odd[n // 16 % len(odd)]() if n % 16 == 15 else english.user_name() for n in range(size))


def quoted(texts: pl.Series) -> pl.Series:
    """The texts as CSV fields: in quotes where they contain a comma or a quote."""
    text = pl.lit(texts)
    quoted = pl.concat_str([pl.lit('"'), text.str.replace_all('"', '""', literal=True), pl.lit('"')])
    return pl.select(pl.when(text.str.contains('[,"]')).then(quoted).otherwise(text)).to_series()


def hexadecimal(numbers: U64) -> Rows:
    """Each number as ``ID_LENGTH`` hexadecimal digits."""
    return _HEX.take(numbers.astype(">u8").view(np.uint8)).view(f"V{ID_LENGTH}")
