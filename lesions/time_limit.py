"""A limit on the processor time of a call, in any thread, and in several threads at once. Copied into archives.

Linux only: macOS has no clock of another thread.
"""

import ctypes
import functools
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")

AGAIN = 0.1
"""Seconds of processor time after which it is raised again: raised in a finalizer, for example, it is lost."""
PAUSE = 0.01
"""The fewest seconds between two looks at a clock, so that a call that waits is not looked at all the time."""

# A function object of our own: `ctypes.pythonapi.NAME` is one that all libraries share, with its argument types.
_raise_in = ctypes.pythonapi["PyThreadState_SetAsyncExc"]
_raise_in.argtypes = [ctypes.c_ulong, ctypes.py_object]
_raise_in.restype = ctypes.c_int


class TimeLimitReached(BaseException):
    """The time is over. Not an `Exception`, because Pillow catches those in many places."""


def within(seconds: float | None, call: Callable[[], Result]) -> Result:
    """What `call` returns. Raises `TimeLimitReached` when it has used `seconds` of processor time (none: no limit).

    The time is that of the calling thread: waiting is free, and so is what other threads do. It is raised in the middle
    of the call, and again after each tenth of a second in which the call goes on; never after the call. Code in C is
    not interrupted before it returns. Calls may be within calls. Raises `RuntimeError` where no thread can be started.
    """
    # A function and no context manager: the exception may arrive at the first instruction of `__exit__`, and then
    # nothing ends the limit.
    if seconds is None:
        return call()
    limit = _Limit(seconds)
    watchdog = _watchdog()
    try:
        watchdog.put(limit)
        result = call()
    finally:
        # Python lets an exception in after calls, at jumps back and at a function's start: none comes between
        # `call` and `acquire`. `acquire` waits while one is being sent; it arrives right after. Then none is sent, and
        # nothing is left to take back. (To take back what has arrived, by a null pointer, would leave Python 3.11's
        # flag for such exceptions set for good: slower, and an endless loop where a function is traced.)
        limit.ended.acquire()
    if limit.left() <= 0:  # the watchdog may have come too late, as when code in C kept all other threads out
        raise TimeLimitReached
    return result


class _Limit:
    """The limit of one call, in the thread that makes it."""

    def __init__(self, seconds: float) -> None:
        self.thread = threading.get_ident()
        self.clock = time.pthread_getcpuclockid(self.thread)
        self.end = time.clock_gettime(self.clock) + seconds
        self.ended = threading.Lock()  # taken at the end of the call for good, and by the watchdog while it looks
        self._delay = 0.0

    def left(self) -> float:
        """Seconds of processor time until the end. Raises `OSError` where the thread is gone."""
        return self.end - time.clock_gettime(self.clock)

    def check(self) -> float | None:
        """Raise the exception in the thread if it is time. Returns how long it is not, in seconds (none: never)."""
        if not self.ended.acquire(blocking=False):
            return None
        try:
            left = self.left() + self._delay
            if left > 0:
                return left
            _raise_in(self.thread, TimeLimitReached)
            self._delay += AGAIN - left
            return AGAIN
        except OSError:
            return None
        finally:
            self.ended.release()


@functools.cache
def _watchdog() -> SimpleQueue[_Limit]:
    """Where the watchdog takes new limits from; it is started at first use, and serves all threads.

    A C queue, because its `put` cannot be interrupted halfway. Two threads may start two at the same time: each works.
    """
    new: SimpleQueue[_Limit] = SimpleQueue()
    threading.Thread(target=_watch, args=[new], name="time limits", daemon=True).start()
    return new


os.register_at_fork(after_in_child=_watchdog.cache_clear)  # threads do not live on in a child


def _watch(new: SimpleQueue[_Limit]) -> None:
    limits: list[_Limit] = []
    wait = None
    while True:
        with suppress(Empty):
            limits.append(new.get(timeout=wait))
        left = {limit: seconds for limit in limits if (seconds := limit.check()) is not None}
        limits = list(left)
        wait = max(min(left.values()), PAUSE) if left else None
