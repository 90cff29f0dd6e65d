"""What the gateway asks of a runtime."""

from typing import Any, NamedTuple, Protocol


class Reply(NamedTuple):
    """The runtime's answer to one picture, or to one request to a generator."""

    status: int
    content_type: str
    body: bytes


class Unavailable(Exception):
    """No runtime answers, or it answers that it cannot; `str()` says why. Asked later, it may."""


class Backend(Protocol):
    """A runtime, for the gateway. All methods belong to one event loop, and raise `Unavailable`."""

    async def answer(
        self,
        model: str,
        version: str | None,
        body: bytes,
        content_type: str,
        accept: str = "",
        explain: bool = False,
        unseen: bool = False,
    ) -> Reply:
        """Ask a version of a model, or the default one; `accept` is the client's header of that name.

        Nobody waits for an `unseen` answer: where versions share threads, it takes none from those that clients see.
        """

    async def versions(self, model: str) -> list[str]:
        """The names of the served versions of a model, sorted; none where there is no such model."""

    async def default(self, model: str) -> str:
        """The version that answers where a call names none."""

    async def describe(self, model: str, version: str) -> dict[str, Any]:
        """The `entry.json` of a served version, perhaps without what is null."""

    async def is_ready(self) -> bool:
        """Whether the runtime answers and is healthy."""

    async def close(self) -> None:
        """Close all connections."""
