"""How often a key may ask."""

import math
import time

import limits
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from gateway.keys import Key
from gateway.problems import Problem, try_later


class Rates:
    """Counts what each key asks, in this process: the time before a call counts, not the hour of the clock."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, key: Key, cost: int = 1) -> None:
        """Count `cost` pictures or calls. Raises `Problem` (429) where they are more than the key may ask."""
        rate = limits.parse(key.rate)
        if cost > rate.amount:
            raise Problem(429, f"{cost} pictures at once are more than this key's limit, {key.rate}; send fewer")
        # By the hash, since a new key may have the name of an old one.
        if cost and not self._limiter.hit(rate, key.sha256, cost=cost):
            wait = math.ceil(self._limiter.get_window_stats(rate, key.sha256).reset_time - time.time())
            raise try_later(f"this key's limit is {key.rate}; wait, and ask again", max(1, wait), 429)
