"""`Prefer: return=minimal`: a batch's answer in few words."""

import uuid

import pytest

PATH = "/api/v1/operations/batch"


def send(client, wallet, prefer):
    members = [
        {"operation_type": "DEPOSIT", "wallet": str(wallet), "amount": "5.00"},
        {"operation_type": "WITHDRAW", "wallet": str(wallet), "amount": "9.00"},
    ]
    key = str(uuid.uuid5(wallet, "key"))
    answer = client.post(
        PATH,
        json={"operations": members},
        headers={"Prefer": prefer, "Idempotency-Key": key},
    )
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    "prefer", ["return=minimal", 'wait=5, Return="minimal"; x=y', "return = minimal"]
)
def test_a_minimal_answer_has_what_counts(client, make_wallet, prefer):
    wallet = make_wallet()
    answer = send(client, wallet, prefer)
    assert answer.headers["Preference-Applied"] == "return=minimal"
    applied, refused = answer.json["outcomes"]
    assert (answer.json["applied"], answer.json["refused"]) == (1, 1)
    reference = applied.pop("reference_id")
    assert applied == {"status": 200, "seq": 1, "balance_after": "5.00"}
    assert refused.keys() == {"status", "code", "reference_id"}
    assert (refused["status"], refused["code"]) == (409, "insufficient_funds")
    again = send(client, wallet, prefer).json["outcomes"][0]
    assert (again["reference_id"], again["code"]) == (reference, "replayed")


@pytest.mark.parametrize("prefer", ["", "return=representation, return=minimal", "x"])
def test_who_does_not_prefer_it_gets_the_whole(client, make_wallet, prefer):
    answer = send(client, make_wallet(), prefer)
    assert "Preference-Applied" not in answer.headers
    assert answer.json["outcomes"][0]["transactions"]
