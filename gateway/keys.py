"""API keys: who may ask what, and how often. A file holds hashes, never keys."""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError

from lesions.errors import UserError
from lesions.files import file_lock

Scope = Literal["classify", "explain", "synthesize", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_SCOPES = "classify explain"
DEFAULT_RATE = "60/minute"
PREFIX = "zoo_"
"""By which people and scanners for leaked secrets see what it is."""
RATE = re.compile(r"[1-9][0-9]{0,5}/(second|minute|hour|day)")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class ApiKeyError(UserError):
    """A key that cannot be made or revoked, or a damaged file of keys; `str()` says why."""


class Key(BaseModel):
    """What is kept of one key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$")]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    """Of the key, in hex. A fast hash is enough: the key has 256 random bits, so there is nothing to guess."""
    scopes: tuple[Scope, ...]
    rate: Annotated[str, StringConstraints(pattern=f"^{RATE.pattern}$")]
    """How many pictures or calls in which time, such as 60/minute."""
    created: str
    """ISO 8601, UTC."""


_ALL: TypeAdapter[tuple[Key, ...]] = TypeAdapter(tuple[Key, ...])


class Keys:
    """The keys in a file. Changes of the file count at once: a revoked key opens nothing more."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, ...] | None = None
        self._keys: tuple[Key, ...] = ()

    def all(self) -> tuple[Key, ...]:
        """Every key, in the order they were made. Raises `ApiKeyError` where the file cannot be read."""
        try:
            state = self._file.stat()
            version = (state.st_ino, state.st_mtime_ns, state.st_size)
            if version != self._version:
                self._keys, self._version = _ALL.validate_json(self._file.read_bytes()), version
        except FileNotFoundError:
            self._keys, self._version = (), None
        except (OSError, ValidationError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise ApiKeyError(f"{self._file}: {reason}; delete it, and make the keys anew: make key NAME=...") from None
        return self._keys

    def find(self, secret: str) -> Key | None:
        """The key whose secret it is. Takes equally long for every wrong one. Raises `ApiKeyError`."""
        digest, found = _sha256(secret), None
        for key in self.all():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def add(self, name: str, scopes: Sequence[str], rate: str) -> str:
        """Make a key; returns its secret, which is kept nowhere. Raises `ApiKeyError`."""
        if not NAME.fullmatch(name):
            raise ApiKeyError(f"NAME={name[:60]}: a name has letters, digits, _, . and -, 64 at most")
        if not scopes or (unknown := sorted(set(scopes) - set(SCOPES))):
            wrong = unknown[0][:60] if scopes else ""
            raise ApiKeyError(f"SCOPES={wrong}: they are some of {', '.join(SCOPES)}, with blanks between")
        if not RATE.fullmatch(rate):
            raise ApiKeyError(f"RATE={rate[:60]}: a number and a time, such as {DEFAULT_RATE} or 5/second")
        secret = PREFIX + secrets.token_urlsafe(32)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        own = {"name": name, "sha256": _sha256(secret), "scopes": scopes, "rate": rate, "created": created}
        with file_lock(self._file):
            if any(key.name == name for key in self.all()):
                raise ApiKeyError(f"there is a key named {name}; revoke it first: make revoke NAME={name}")
            self._write((*self.all(), Key.model_validate(own)))
        return secret

    def revoke(self, name: str) -> None:
        """Delete a key. Raises `ApiKeyError` where there is none of that name."""
        with file_lock(self._file):
            names = [key.name for key in self.all()]
            if name not in names:
                raise ApiKeyError(f"no key is named {name[:60]!r}; there are: {', '.join(names) or 'none'}")
            self._write(tuple(key for key in self.all() if key.name != name))

    def _write(self, keys: tuple[Key, ...]) -> None:
        aside = self._file.with_name(f"{self._file.name}.part")
        aside.unlink(missing_ok=True)  # of a killed command; it could be anybody's to read
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump([key.model_dump() for key in keys], file, indent=1)
        aside.replace(self._file)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
