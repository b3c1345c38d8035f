"""The yardstick of the HTTP stack: Flask reads JSON and answers JSON, no more.

Its answers are as long as the service's own.
"""

from typing import Any

from flask import Flask, request

MOMENT = "2026-01-31T12:00:00.000000Z"

app = Flask(__name__)


@app.post("/api/v1/wallets/<uuid>/operation")
def post_operation(uuid: str) -> dict[str, Any]:
    body = request.get_json()
    return {
        "id": 1,
        "wallet_uuid": uuid,
        "seq": 1,
        "operation_type": body["operation_type"],
        "amount": body["amount"],
        "balance_before": "0.00",
        "balance_after": "1.00",
        "currency": "USD",
        "description": None,
        "reference_id": uuid,
        "counterparty_uuid": None,
        "created_at": MOMENT,
    }


@app.get("/api/v1/wallets/<uuid>")
def get_wallet(uuid: str) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "balance": "1.00",
        "currency": "USD",
        "status": "active",
        "version": 1,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }
