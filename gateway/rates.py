"""How often a key may ask."""

import time
from collections import deque
from itertools import repeat

from gateway.keys import Key
from gateway.problems import Problem, try_later

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


class Rates:
    """Counts what each key asks, in this process: the time before a call counts, not the hour of the clock."""

    def __init__(self) -> None:
        # By the hash, since a new key may have the name of an old one.
        self._asked: dict[str, deque[float]] = {}

    def count(self, key: Key, cost: int = 1, counted: int = 0) -> None:
        """Count `cost` pictures or calls, of which so many are `counted` already.

        Raises `Problem` (429) where they are more than the key may ask.
        """
        amount, _, unit = key.rate.partition("/")
        most, seconds = int(amount), SECONDS[unit]
        if cost > most:
            raise Problem(429, f"{cost} pictures at once are more than this key's limit, {key.rate}; send fewer")
        cost -= counted
        now, asked = time.monotonic(), self._asked.setdefault(key.sha256, deque())
        while asked and asked[0] <= now - seconds:
            asked.popleft()
        if len(asked) + cost > most:
            wait = int(asked[len(asked) + cost - most - 1] + seconds - now) + 1
            raise try_later(f"this key's limit is {key.rate}; wait, and ask again", wait, 429)
        asked.extend(repeat(now, cost))
