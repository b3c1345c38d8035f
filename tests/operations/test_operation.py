"""POST /wallets/{uuid}/operation."""

import uuid

OPERATION = "/api/v1/wallets/{}/operation"


def test_deposit_answers_with_its_transaction(client, make_wallet):
    wallet = make_wallet()
    answer = client.post(
        OPERATION.format(wallet), json={"operation_type": "DEPOSIT", "amount": 1000}
    )
    body = answer.get_json()
    assert answer.status_code == 200
    assert uuid.UUID(body.pop("reference_id")).version == 7
    assert body.pop("created_at").endswith("Z")
    assert body.pop("id") > 0
    assert body == {
        "wallet_uuid": str(wallet),
        "seq": 1,
        "operation_type": "DEPOSIT",
        "amount": "1000.00",
        "balance_before": "0.00",
        "balance_after": "1000.00",
        "currency": "USD",
        "description": None,
        "counterparty_uuid": None,
    }
