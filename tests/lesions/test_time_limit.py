"""The limit on processor time: in any thread, of that thread alone, and never after the call."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import pytest

from lesions import time_limit
from lesions.time_limit import AGAIN, TimeLimitReached, within

LONG = 20
"""Seconds of processor time that no test reaches."""


def busy(seconds: float) -> str:
    """Use processor time in Python."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return "done"


def stopped(seconds: float, busy_for: float) -> bool:
    """Whether the limit was reached."""
    try:
        return within(seconds, partial(busy, busy_for)) != "done"
    except TimeLimitReached:
        return True


def test_a_loop_in_python_is_stopped() -> None:
    began = time.thread_time()
    with pytest.raises(TimeLimitReached):
        within(0.1, partial(busy, LONG))
    assert 0.1 <= time.thread_time() - began < 2


def test_results_and_errors_of_the_call_come_through() -> None:
    assert within(LONG, partial(busy, 0)) == "done"
    assert within(None, partial(busy, 0.01)) == "done"
    with pytest.raises(ZeroDivisionError):
        within(LONG, lambda: 1 / 0)


def test_of_four_threads_only_the_slow_one_is_stopped() -> None:
    for slow in range(4):
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(stopped, [0.1] * 4, [LONG if k == slow else 0.01 for k in range(4)])) == [
                k == slow for k in range(4)
            ]


def test_waiting_is_free_and_so_is_what_others_do() -> None:
    other = threading.Thread(target=busy, args=[0.4])

    def wait() -> None:
        other.start()
        other.join()
        time.sleep(0.3)

    within(0.2, wait)


def test_an_exception_cannot_be_swallowed_as_an_error_and_comes_again() -> None:
    arrived = []

    def stubborn() -> None:
        try:
            busy(LONG)
        except Exception:
            arrived.append("as an error")
        except BaseException:  # as in a finalizer
            arrived.append("once")
        busy(LONG)

    began = time.thread_time()
    with pytest.raises(TimeLimitReached):
        within(0.05, stubborn)
    assert arrived == ["once"]
    assert 0.05 + AGAIN <= time.thread_time() - began < 2


def test_calls_within_calls() -> None:
    assert within(LONG, lambda: (stopped(0.05, LONG), stopped(LONG, 0.05), stopped(0.05, LONG))) == (True, False, True)
    inner: list[bool] = []

    def outer() -> None:
        inner.append(stopped(LONG, LONG))
        busy(LONG)

    with pytest.raises(TimeLimitReached):
        within(0.05, outer)
    assert inner in ([], [True])  # a call within sees the exception, and cannot keep it


def test_nothing_comes_after_the_call() -> None:
    assert not stopped(0.1, 0.01)
    busy(0.3)


def test_what_is_underway_when_the_call_ends_comes_at_once() -> None:
    # C code, so that the exception is still underway when the call returns.
    last = partial(time_limit._raise_in, threading.get_ident(), TimeLimitReached)
    for _ in range(100):
        with pytest.raises(TimeLimitReached):
            within(LONG, last)
    busy(0.01)


def test_nothing_is_sent_after_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    class Spy(time_limit._Limit):
        def __init__(self, seconds: float) -> None:
            super().__init__(seconds)
            limits.append(self)

    monkeypatch.setattr(time_limit, "_Limit", Spy)
    assert stopped(0, 0)
    assert not stopped(LONG, 0)
    for limit in limits:
        limit.end = 0
        assert limit.check() is None
    busy(0.01)


def test_code_in_c_that_keeps_other_threads_out_is_found_at_the_end() -> None:
    with pytest.raises(TimeLimitReached):
        within(0.001, partial(sum, range(1_000_000)))


def test_limits_that_just_expire_leave_nothing_behind() -> None:
    def work(seed: int) -> int:
        random, reached = Random(seed), 0
        for _ in range(1_000):
            reached += stopped(random.random() * 1e-4, random.random() * 2e-4)
            for _ in range(20):  # what arrives here ends `work`
                pass
        time.sleep(0.05)
        busy(0.01)
        return reached

    with ThreadPoolExecutor(4) as pool:
        assert all(100 < reached < 1_000 for reached in pool.map(work, range(4)))


def test_a_thread_that_is_gone_does_no_harm() -> None:
    limits: list[time_limit._Limit] = []
    thread = threading.Thread(target=lambda: limits.append(time_limit._Limit(LONG)))
    thread.start()
    thread.join()
    end = time.monotonic() + 10
    while limits[0].check() is not None:
        assert time.monotonic() < end
        time.sleep(0.01)  # the kernel keeps its clock for a moment


FORK = """
import os
from lesions.time_limit import TimeLimitReached, within

def stopped():
    try:
        within(0.05, lambda: [None for _ in iter(int, 1)])
    except TimeLimitReached:
        return True

assert stopped()
child = os.fork()
if child == 0:
    os._exit(0 if stopped() else 1)
assert os.waitpid(child, 0)[1] == 0
assert stopped()
"""


def test_a_forked_process_has_limits_too() -> None:
    subprocess.run([sys.executable, "-c", FORK], cwd=Path(__file__).parents[2], timeout=60, check=True)


TRACED = """
import sys
from lesions.time_limit import TimeLimitReached, within

def spin():
    while True:
        pass

for seconds, call in ((5, list), (0.05, spin)):
    try:
        within(seconds, call)
    except TimeLimitReached:
        pass

def traced():
    return 1

sys.settrace(lambda *_: None)
print(traced())
"""


def test_python_is_as_before_when_the_call_has_ended() -> None:
    """Python 3.11 looped for ever at a traced function's start, with a flag that the end of a limit had set."""
    done = subprocess.run([sys.executable, "-c", TRACED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
