"""The way of `make compare`'s questions to a server, with a disturbance on it."""

import itertools
import threading
from collections.abc import Callable

import httpx

STRIKES_AT = 20
"""The question with which the disturbance begins, of 98."""

AS_MANY_MORE = 20
"""So many are asked while it begins, one by one; the others wait until it has struck."""


class Line(httpx.HTTPTransport):
    """The way to the server: on it, at question `STRIKES_AT`, a disturbance begins that says when it has struck."""

    def __init__(self, disturb: Callable[[threading.Event], None]) -> None:
        super().__init__(limits=httpx.Limits(max_connections=None))
        self.lost: list[str] = []
        """What became of questions that had no answer at once."""
        self.struck = threading.Event()
        self._disturbance = threading.Thread(target=disturb, args=[self.struck])
        self._numbers = itertools.count()
        self._one_by_one = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith("/predictions/"):
            return super().handle_request(request)
        number = next(self._numbers)
        if number == STRIKES_AT:
            self._disturbance.start()
        if number >= STRIKES_AT and not self.struck.is_set():
            with self._one_by_one:
                self.struck.wait(0.05 if number < STRIKES_AT + AS_MANY_MORE else 60)
        try:
            answer = super().handle_request(request)
        except httpx.TransportError as error:
            self.lost.append(type(error).__name__)
            raise
        if answer.status_code != httpx.codes.OK:
            self.lost.append(str(answer.status_code))
        return answer

    def over(self) -> None:
        self._disturbance.join(timeout=120)
        assert not self._disturbance.is_alive()
