"""What a gateway is started with."""

import re
from ipaddress import IPv6Address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lesions.errors import UserError

ORIGIN = re.compile(r"(https?)://([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\])(?::([1-9][0-9]{0,4}))?")
PORTS = {"http": "80", "https": "443"}
"""Those that a browser leaves out."""
AN_ORIGIN = "an origin is scheme, host and perhaps port, without a path: https://example.org"


class Settings(BaseModel):
    """The settings of one gateway. They can be held in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    port: int
    runtime_port: int
    """Where the runtime answers predictions, on loopback."""
    folder: Path
    """The server's: credentials for the runtime, logs."""
    archives: Path
    """Where the served archives are: their model cards are read from there."""
    keys: Path
    """The file of API keys (`gateway.keys.Keys`)."""
    origins: tuple[str, ...] = ()
    """Whose pages may call from a browser, such as https://example.org; "*" for all."""
    max_request_bytes: int
    """Of a body, as it is sent and when it is unpacked."""
    events: str = ""
    """The URL of the database of events; SQLite in the study's folder where it is empty. It has no password."""
    keep_days: int = Field(365, ge=1, le=36_500)
    """How long an event is kept."""

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if problem := _problem(origin):
                raise ValueError(f"{origin[:60]}: {problem}")
        return value

    @field_validator("events")
    @classmethod
    def _is_url(cls, value: str) -> str:
        from gateway.events.database import EventsError, check_url  # here: it takes a third of a second

        try:
            return check_url(value) if value else ""
        except EventsError as error:
            raise ValueError(str(error)) from None

    @property
    def runs(self) -> Path:
        """The study's folder: experiments and events."""
        return self.folder.parent


def origins(text: str) -> tuple[str, ...]:
    """The origins in a setting, blanks between. Raises `UserError` for what is none."""
    for origin in text.split():
        if problem := _problem(origin):
            raise UserError(f"CORS={origin[:60]}: {problem}")
    return tuple(text.split())


def _problem(origin: str) -> str:
    """Why no browser sends this origin; empty where one does, or it is "*"."""
    if origin == "*":
        return ""
    match = ORIGIN.fullmatch(origin)
    if not match or int(match[3] or 0) > 65_535:
        return AN_ORIGIN
    scheme, host, port = match.groups()
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            return AN_ORIGIN
    sent = f"{scheme}://{host.lower()}" + (f":{port}" if port and port != PORTS[scheme] else "")
    return "" if origin == sent else f"a browser sends {sent}; write it so"
