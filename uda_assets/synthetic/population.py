"""The users, and the user and platform of each session."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from faker import Faker

from uda_assets.synthetic.config import GeneratorConfig
from uda_assets.synthetic.draws import I64, U64, bits, make_key, mix

PLATFORMS = ("Android", "Web", "iOS")
"""Canonical names of the platforms in generated files, in ascending order."""

# The preferred platform of 16 users, as an index into PLATFORMS.
_PREFERENCE: I64 = np.repeat(np.arange(3), (7, 3, 6))
_NEXT_PLATFORM: I64 = np.array([1, 2, 0])
_NAMES = 256


class _Identity(NamedTuple):
    user: I64
    platform: I64
    session_id: U64


class Population:
    """The users; computes the user, platform and id of a session from the session's number."""

    def __init__(self, config: GeneratorConfig) -> None:
        self.users = config.population
        self.names = _user_names(config.seed, self.users)
        self._keys = [make_key(config.seed, 1, purpose) for purpose in range(3)]
        # The users from the busiest to the least busy. The factor spreads the busy users over all numbers; because it
        # has no divisor in common with the number of users, every user has a rank.
        factor = next(n for n in range(round(self.users * 0.618) | 1, 2**32) if math.gcd(n, self.users) == 1)
        self._by_rank: I64 = (np.arange(1, self.users + 1) * factor) % self.users
        self._preference = _PREFERENCE[bits(mix(np.arange(self.users), self._keys[2]), 0, 4)].astype(np.int8)

    def identify(self, sessions: I64) -> _Identity:
        """Return the user, platform and session id of each session; no two session numbers share all three."""
        # One session in 64 has the user and id of the next session, but another platform, so it is a different session.
        shared = sessions & 63 == 0
        sources = sessions + shared
        draws = mix(sources, self._keys[0])
        # Cubing a uniform draw makes the nth user about n ** -2/3 as busy as the first. Unlike powers and logarithms,
        # multiplication gives the same bits on every machine.
        uniform = (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53
        user = self._by_rank[(uniform * uniform * uniform * self.users).astype(np.int64)]
        # The lowest bits are not part of the uniform draw. One session in eight ignores the user's preferred platform.
        platform = np.where(bits(draws, 0, 3), self._preference[user], _PREFERENCE[bits(draws, 3, 4)])
        platform = np.where(shared, _NEXT_PLATFORM[platform], platform)
        return _Identity(user, platform, mix(sources, self._keys[1]))

    def owners(self, sessions: I64) -> I64:
        """Return the platform and user of each session as one number: ``platform * users + user``."""
        identity = self.identify(sessions)
        return identity.platform * self.users + identity.user


def _user_names(seed: int, users: int) -> pl.Series:
    """Return unique names, made of a small pool and a number: Faker is far too slow to make millions of names."""
    numbers = np.arange(users)
    pool = pl.Series(_name_pool(seed, min(users, _NAMES))).gather(numbers % _NAMES)
    return pl.select(pl.concat_str([pool, pl.Series(numbers)], separator="_")).to_series()


@lru_cache(maxsize=4)
def _name_pool(seed: int, size: int) -> tuple[str, ...]:
    """Return user names, of which one in 16 is difficult: with commas, with quotes, or in another script.

    The pool is cached, because a supplier draws all drops from the same population, and making the names takes longer
    than writing a small drop.
    """
    # Loading all of Faker's providers takes long, so only those that make names are loaded.
    english = Faker("en_US", providers=[f"faker.providers.{topic}" for topic in ("person", "internet", "lorem")])
    japanese = Faker("ja_JP", providers=["faker.providers.person"])
    for faker in (english, japanese):
        faker.seed_instance(seed)
    difficult: list[Callable[[], str]] = [
        lambda: f"{english.last_name()}, {english.first_name()}",
        lambda: f'{english.first_name()} "{english.word()}" {english.last_name()}',
        japanese.name,
    ]
    return tuple(difficult[n // 16 % len(difficult)]() if n % 16 == 15 else english.user_name() for n in range(size))
