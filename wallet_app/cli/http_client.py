"""A small HTTP client of the standard library, for the smoke test."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

MAX_BODY_BYTES = 20 * 1024 * 1024


class NoAnswer(Exception):
    """The service cannot be reached, or answers too late or with no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; `body` is its JSON, or None if it is none."""

    status: int
    headers: Mapping[str, str]
    text: str
    body: Any

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]


class HttpClient:
    """Calls one service; every call ends after `timeout_s`."""

    def __init__(
        self, base_url: str, timeout_s: float, *, key: str | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.timeout_s = timeout_s
        self.headers = {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"
        # The service itself is meant, not what a proxy of this machine makes of it.
        self.opener = build_opener(ProxyHandler({}))

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """POST the body as JSON; a header's name is written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", path, json.dumps(body), named)

    def call(
        self,
        method: str,
        path: str,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call with a text that is sent as it is; raises NoAnswer."""
        request = Request(  # noqa: S310 - the command takes http and https only
            self.base_url + path,
            data=None if text is None else text.encode(),
            method=method,
            headers={**self.headers, **(headers or {})},
        )
        try:
            try:
                response = self.opener.open(request, timeout=self.timeout_s)
            except HTTPError as error:
                response = error
            with response:
                content = response.read(MAX_BODY_BYTES).decode(errors="replace")
                return Answer(
                    response.status, response.headers, content, read_json(content)
                )
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise NoAnswer(f"{method} {path}: {reason}") from error


def read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def is_http_url(url: str) -> bool:
    """Whether the URL is http:// or https:// with a host, and nothing else odd."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
