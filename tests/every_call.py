"""The calls that need the database, and how one that cannot be answered ends."""

from contextlib import ExitStack
from typing import Any
from uuid import UUID

from flask.testing import FlaskClient, FlaskCliRunner
from werkzeug.test import TestResponse

from wallet_app.database import db

Call = tuple[str, str, Any]
WALLETS = "/api/v1/wallets"


def money_calls(first: UUID, second: UUID) -> list[Call]:
    deposit = {"operation_type": "DEPOSIT", "amount": "1.00"}
    both = {"from_wallet": str(first), "to_wallet": str(second), "amount": "1.00"}
    members = [deposit | {"wallet": str(one)} for one in (first, second)]
    return [
        ("POST", f"{WALLETS}/{first}/operation", deposit),
        ("POST", "/api/v1/transfers", both),
        ("POST", "/api/v1/operations/batch", {"operations": members}),
        ("POST", "/api/v1/operations/batch", {"operations": members, "atomic": True}),
    ]


def other_writes(first: UUID) -> list[Call]:
    january = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    return [
        ("POST", WALLETS, {}),
        ("POST", f"{WALLETS}/{first}/statements", {"format": "csv", **january}),
    ]


def reads(first: UUID) -> list[Call]:
    return [
        ("GET", f"{WALLETS}/{first}", None),
        ("GET", f"{WALLETS}/{first}/balance", None),
        ("GET", f"{WALLETS}/{first}/transactions", None),
        ("GET", f"{WALLETS}/{first}/statistics", None),
        ("GET", WALLETS, None),
    ]


def send(client: FlaskClient, call: Call) -> TestResponse:
    method, path, body = call
    return client.open(path, method=method, json=body)


def assert_try_again(answer: TestResponse, applied: str | None = None) -> None:
    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (503, "try_again"), problem
    assert answer.headers["Retry-After"] == "1"
    assert problem.get("applied") == applied
    assert "trouble" not in answer.text


def assert_not_available(runner: FlaskCliRunner, *arguments: object) -> None:
    result = runner.invoke(args=["wallet", *map(str, arguments)])
    assert result.exit_code == 1
    assert "again" in result.stderr
    assert result.stderr.count("\n") == 1


def driver_connections(count: int) -> list[Any]:
    """What the pool hands out to so many callers at once."""
    with ExitStack() as stack:
        return [
            stack.enter_context(db.engine.connect()).connection.driver_connection
            for _ in range(count)
        ]
