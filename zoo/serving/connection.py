"""A running server, for clients: tokens for its REST calls, and its management calls."""

import json
import re
import shlex
import sys
import threading
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from zoo.kinds import MODELS
from zoo.serving.http import (
    HttpClient,
    NoServerError,
    ServerError,
    error_message,
    expect_zoo_answer,
    json_object,
)
from zoo.serving.limits import limits
from zoo.serving.runtime import LOOPBACK, Version

KEY_FILE = "key_file.json"
"""In the server's folder: its tokens, and when they expire."""
INVALID_TOKEN = "InvalidKeyException"
"""The type of an error, with status 400, for a token that is wrong or has expired."""


class TokenAuth(httpx.Auth):
    """A bearer token for the calls of one `kind`, "inference" or "management"; renewed when it has expired."""

    requires_response_body = True

    def __init__(self, key_file: Path, management: str, kind: str) -> None:
        """`management` is the base URL at which tokens are renewed."""
        self._key_file, self._management, self._kind = key_file, management, kind
        self._token, self._least = "", timedelta(0)
        self._renewal = threading.Lock()  # two at once would each invalidate the other's new token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with the token at hand, and once more with a new one if that is not valid."""
        token = yield from self._valid_token("")
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if json_object(response).get("type") == INVALID_TOKEN:
            token = yield from self._valid_token(token)
            request.headers["Authorization"] = f"Bearer {token}"
            yield request

    def renew_early(self, least: timedelta) -> None:
        """At the next call, renew the token if it lasts no longer than `least`: for others, too, it is void then."""
        with self._renewal:
            self._token, self._least = "", least

    def _valid_token(self, stale: str) -> Generator[httpx.Request, httpx.Response, str]:
        """The token at hand; if it is the `stale` one, that of the key file; if that is stale or old, a new one."""
        with self._renewal:
            if self._token == stale:
                self._token, expires, api_key = read_token(self._key_file, self._kind)
                if self._token == stale or expires <= datetime.now(UTC) + self._least:
                    headers = {"Authorization": f"Bearer {api_key}"}
                    url = f"{self._management}/token"
                    response = yield httpx.Request("GET", url, params={"type": self._kind}, headers=headers)
                    if not response.is_success:
                        raise NoServerError(f"{self._key_file} is another server's: {error_message(response)}")
                    self._token = read_token(self._key_file, self._kind)[0]
            return self._token


def read_token(key_file: Path, kind: str) -> tuple[str, datetime, str]:
    """The token of a `kind`, when it expires, and the key that renews it. Raises `NoServerError`."""
    try:
        keys = json.loads(key_file.read_text())
        expires = re.sub(r"\.\d+", "", keys[kind]["expiration time"])  # it has nanoseconds
        return str(keys[kind]["key"]), datetime.fromisoformat(expires), str(keys["API"]["key"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise NoServerError(f"no token in {key_file} ({error}); start the server: make serve") from None


class RestServer:
    """One running server (`zoo.serving.runtime.Server`); management is on the port after that of inference."""

    def __init__(self, folder: Path, port: int, state: Mapping[str, Any] | None = None, **options: Any) -> None:
        """`folder` holds the tokens, and `state` is what its `STATE` says, as far as that is known.

        `options` are those of `HttpClient`, for management calls.
        """
        self.port, self._state, self._options = port, state or {}, options
        self.url = f"http://{LOOPBACK}:{port}"
        self._management = f"http://{LOOPBACK}:{port + 1}"
        self.auth = TokenAuth(folder / KEY_FILE, self._management, "inference")
        self._management_auth = TokenAuth(folder / KEY_FILE, self._management, "management")

    @cached_property
    def _http(self) -> HttpClient:
        return HttpClient(self._management_auth, **self._options)  # when it is needed: it takes 45 ms

    @property
    def max_request_bytes(self) -> int:
        """The largest body of a request that it takes; the default where it is not known."""
        return int(self._state.get("max_request_bytes") or limits().max_request_bytes)

    def call_url(self, call: str, model: str, version: str) -> str:
        """Where a version of a model answers a call, "predictions" or "explanations"."""
        return f"{self.url}/{call}/{model}/{quote(version, safe='')}"

    def versions(self, model: str) -> list[str]:
        """The names of the served versions of `model`, sorted; none where there is no such model."""
        with expect_zoo_answer(f"{self._management}/models/{model}/all"):
            return sorted(str(row["modelVersion"]) for row in self.rows(model))

    def status(self) -> list[Version]:
        """Every served version, sorted."""
        with expect_zoo_answer(self._management):
            rows = [row for model in MODELS for row in self.rows(model)]
            return sorted(
                Version(
                    model=row["modelName"],
                    name=row["modelVersion"],
                    ready=any(worker["status"] == "READY" for worker in row["workers"]),
                    workers=len(row["workers"]),
                )
                for row in rows
            )

    def describe(self, model: str, version: str) -> dict[str, Any]:
        """The `entry.json` of a version, without what is null."""
        path = f"models/{model}/{quote(version, safe='')}?customized=true"
        with expect_zoo_answer(f"{self._management}/{path}"):
            return dict(self._get(path).json()[0]["customizedMetadata"])

    def default(self, model: str) -> str:
        """The version that answers where a call names none."""
        with expect_zoo_answer(f"{self._management}/models/{model}"):
            return str(self._get(f"models/{model}").json()[0]["modelVersion"])

    def set_default(self, model: str, version: str) -> None:
        """Let `version` answer where a call names none, until the server stops."""
        self._http.call("PUT", f"{self._management}/models/{model}/{quote(version, safe='')}/set-default")

    def archives(self) -> dict[str, str]:
        """The sha256 (hex) of the archives that it was started with, by file name."""
        return dict(self._state.get("archives") or {})

    def renew_credentials(self) -> None:
        """Renew each token that has expired, or has less than a sixth of its life left."""
        least = timedelta(minutes=int(self._state.get("token_minutes") or limits().token_minutes)) / 6
        for auth in (self.auth, self._management_auth):
            auth.renew_early(least)
        self.status()
        http = HttpClient(self.auth, **self._options)
        try:
            http.call("GET", f"{self.url}/ping")
        finally:
            http.close()

    def close(self) -> None:
        """Close all connections."""
        if "_http" in self.__dict__:
            self._http.close()

    def rows(self, model: str) -> list[dict[str, Any]]:
        """The server's description of each version of a model."""
        try:
            return list(self._get(f"models/{quote(model, safe='')}/all").json())
        except ServerError as error:
            if error.code == httpx.codes.NOT_FOUND:
                return []
            raise

    def _get(self, path: str) -> httpx.Response:
        return self._http.call("GET", f"{self._management}/{path}")


def upload(picture: Path | None) -> str:
    """The option of curl that sends a picture, a file of any name."""
    # In double quotes, or curl would end a path at a comma; it takes JSON's escapes for a quote and a backslash.
    path = json.dumps(str(picture.absolute()) if picture else "mole.jpg", ensure_ascii=False)
    return f"-F {shlex.quote(f'image=@{path}')}"


def example_call(folder: Path, url: str, content: str) -> str:
    """A curl line that works as it stands, in any folder: it reads the token out of the key file in `folder`.

    `content` are curl's options for what is sent.
    """
    read = f"import json; print(json.load(open({str((folder / KEY_FILE).absolute())!r}))['inference']['key'])"
    token = shlex.join([sys.executable, "-I", "-c", read])  # -I: a json.py that lies about is not imported
    return f"curl --noproxy '*' {content} -H \"Authorization: Bearer $({token})\" {url}"
