"""What the gateway asks of a runtime."""

from typing import Any, NamedTuple, Protocol


class Question(NamedTuple):
    """A picture for a version of a model, or a request to a generator."""

    model: str
    version: str | None
    """The default one where it is null."""
    body: bytes
    content_type: str
    accept: str = ""
    """The client's header of that name."""
    explain: bool = False
    unseen: bool = False
    """Nobody waits for the answer: where versions share threads, it takes none from those that clients see."""
    key: str = ""
    """The name of the API key that asks: keys take turns. Empty for the page."""

    @property
    def path(self) -> str:
        """The runtime's own path for it, of TorchServe's interface."""
        parts = ["explanations" if self.explain else "predictions", self.model, self.version]
        return "/".join(part for part in parts if part)


class Reply(NamedTuple):
    """The runtime's answer to one picture, or to one request to a generator."""

    status: int
    content_type: str
    body: bytes


class Unavailable(Exception):
    """No runtime answers, or it answers that it cannot; `str()` says why. Asked later, it may."""


class Backend(Protocol):
    """A runtime, for the gateway. All methods belong to one event loop, and raise `Unavailable`."""

    async def answer(self, question: Question) -> Reply:
        """The runtime's answer, which may be an error."""

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
