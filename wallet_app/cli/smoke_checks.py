"""What the smoke test expects of answers, and what it says when they differ."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

from wallet_app.cli.http_client import Answer, HttpClient


class Unexpected(Exception):
    """The service answers, but not what it should."""


@dataclass
class Walk:
    """A walk through one service: its client, its wallet, what it has read so far."""

    api: HttpClient
    wallet: str = field(default_factory=lambda: str(uuid4()))
    other: str = field(default_factory=lambda: str(uuid4()))
    deposit_reference: str = field(default_factory=lambda: str(uuid4()))
    withdrawal: dict[str, Any] = field(default_factory=dict)
    transfer: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/api/v1/wallets/{self.wallet}"

    def operate(self, operation_type: str, amount: object, **more: object) -> Answer:
        """POST an operation on the wallet."""
        body = {"operation_type": operation_type, "amount": amount, **more}
        return self.api.post(f"{self.path}/operation", body)


def same(what: str, *, expected: object, got: object) -> None:
    """Raise Unexpected unless both are equal."""
    if expected != got:
        raise Unexpected(f"expected {what} {expected!r}, got {got!r}")


def answers(answer: Answer, status: int, /, **members: object) -> Any:
    """Expect a status and members of the body; return the body."""
    if answer.status != status:
        raise Unexpected(
            f"expected status {status}, got {answer.status} {answer.text!r}"
        )
    for name, value in members.items():
        same(name, expected=value, got=answer.body.get(name))
    return answer.body


def refuses(answer: Answer, status: int, code: str, **facts: object) -> None:
    """Expect a problem document with this code and these facts."""
    answers(answer, status, status=status, code=code, **facts)
    same("type", expected="application/problem+json", got=answer.content_type)
    same("id", expected=answer.headers["X-Request-ID"], got=answer.body["request_id"])


def is_replay(answer: Answer) -> None:
    """Expect the header that tells a replay."""
    replayed = answer.headers.get("Idempotent-Replayed")
    same("Idempotent-Replayed", expected="true", got=replayed)


class LinkParser(HTMLParser):
    """Gathers what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # An <a> loads nothing before somebody clicks.
        if tag != "a":
            self.links += [
                value for name, value in attrs if name in ("src", "href") and value
            ]


def loads_locally(api: HttpClient, path: str) -> None:
    """Expect a page whose scripts and styles come from the service itself."""
    page = api.get(path)
    answers(page, 200)
    same("type", expected="text/html", got=page.content_type)
    parser = LinkParser()
    parser.feed(page.text)
    if not parser.links:
        raise Unexpected(f"expected {path} to load scripts, got none")
    for link in parser.links:
        if urlsplit(link).netloc:
            raise Unexpected(f"expected local assets only, got {link}")
        asset = api.get(urljoin(path, link))
        answers(asset, 200)
        same(f"{link} to have content", expected=True, got=bool(asset.text))
