"""Who asks: what a client calls itself, or its API key, as a keyed hash. Nobody can read the name from it."""

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from gateway.events.database import EventsError

HEADER = "X-Client-Id"
PATTERN = r"^[A-Za-z0-9_.:@=+/-]{1,128}$"
"""What a client may call itself."""
FILE = "events.key"
"""The secret of the hash."""


class Clients:
    """The hashes of one study's clients."""

    def __init__(self, runs: Path, keys: Path) -> None:
        """`runs` is the study's folder, where the secret is made when it is needed first, and `keys` that of API keys.

        If that has one, it holds instead: several machines can have it in common, as they have the keys.
        """
        self._files = [file for file in (keys / FILE, runs / FILE) if file.exists()] or [runs / FILE]
        self._secret = b""

    def known(self) -> bool:
        """Whether a secret is made already: else no event has a hash by it."""
        return self._files[0].exists()

    def all_hashes(self, key: str, own_name: str | None) -> list[str]:
        """The hashes of a client by each secret: the study's own may be older than the common one. Raises as `hash`."""
        return [_hash(_secret(file), key, own_name) for file in self._files]

    def hash(self, key: str, own_name: str | None) -> str:
        """The hash (64 hex digits) of a client by its key's name and what it calls itself, or of the key alone.

        By its name, a key that is made anew stays the same client. Raises `EventsError`, `OSError`.
        """
        self._secret = self._secret or _secret(self._files[0])
        return _hash(self._secret, key, own_name)


def _hash(secret: bytes, key: str, own_name: str | None) -> str:
    name = key if own_name is None else f"{key}/{own_name}"  # no key's name has a stroke
    return hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()


def check_name(name: str) -> str:
    """What a client calls itself, if it may. Raises `EventsError`."""
    if not re.fullmatch(PATTERN, name):
        raise EventsError(f"CLIENT={name[:60]}: letters, digits and _ . : @ = + / - only, 128 at most")
    return name


def _secret(file: Path) -> bytes:
    """The secret in a file, which is made whole, with mode 600, if there is none; of two that make one, one wins."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f"{file.name}.{secrets.token_hex(8)}.part")
        try:
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
                opened.write(secrets.token_hex(32))
            os.link(aside, file)
        except FileExistsError:
            pass
        finally:
            aside.unlink(missing_ok=True)
    secret = file.read_bytes()
    if len(secret) != 64:
        raise EventsError(f"{file} is damaged; restore it: without it, a client's events cannot be matched to it")
    return secret
