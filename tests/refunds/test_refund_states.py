"""What may be refunded, how much of it, and what a retry is told, over HTTP."""

import uuid

import pytest

API = "/api/v1"


@pytest.fixture
def operate(client):
    """Deposit or withdraw; the operation's reference."""

    def send(wallet, kind, amount):
        answer = client.post(
            f"{API}/wallets/{wallet}/operation",
            json={"operation_type": kind, "amount": str(amount)},
        )
        assert answer.status_code == 200, answer.text
        return answer.get_json()["reference_id"]

    return send


@pytest.fixture
def transfer(client):
    def send(source, target, amount):
        body = {
            "from_wallet": str(source),
            "to_wallet": str(target),
            "amount": str(amount),
        }
        answer = client.post(f"{API}/transfers", json=body)
        assert answer.status_code == 200, answer.text
        return answer.get_json()["reference_id"]

    return send


@pytest.fixture
def capture(client):
    """Hold money and capture it; the capture's reference."""

    def send(wallet, amount, **body):
        held = client.post(f"{API}/wallets/{wallet}/holds", json={"amount": amount})
        path = f"{API}/holds/{held.get_json()['hold']['id']}/capture"
        answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.get_json()["reference_id"]

    return send


@pytest.fixture
def refund(client):
    def send(original, headers=None, **body):
        path = f"{API}/operations/{original}/refund"
        return client.post(path, json=body, headers=headers)

    return send


@pytest.fixture
def balance(client):
    def read(wallet):
        return client.get(f"{API}/wallets/{wallet}").get_json()["balance"]

    return read


def told(answer):
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    return body["amount"], body["refunded"], body["remaining"]


def problem(answer):
    return answer.status_code, answer.get_json()["code"]


def entry_types(answer):
    return [one["operation_type"] for one in answer.get_json()["transactions"]]


def test_a_deposit_goes_out_again_in_parts(make_wallet, operate, refund, balance):
    wallet = make_wallet(5)
    original = operate(wallet, "DEPOSIT", 100)
    first = refund(original, amount="30.00", reason="Broken", metadata={"case": "7"})
    assert told(first) == ("30.00", "30.00", "70.00")
    [entry] = first.get_json()["transactions"]
    assert entry["operation_type"] == "REFUND_OUT"
    assert entry["parent_reference_id"] == original
    assert (entry["description"], entry["metadata"]) == ("Broken", {"case": "7"})
    assert told(refund(original)) == ("70.00", "100.00", "0.00")
    assert balance(wallet) == "5.00"


def test_a_withdrawal_comes_back(make_wallet, operate, refund, balance):
    wallet = make_wallet(100)
    answer = refund(operate(wallet, "WITHDRAW", 40), amount="15")
    assert told(answer) == ("15.00", "15.00", "25.00")
    assert entry_types(answer) == ["REFUND_IN"]
    assert balance(wallet) == "75.00"


def test_both_legs_of_a_transfer_go_back(
    make_wallet, transfer, refund, balance, client
):
    source, target = make_wallet(100), make_wallet()
    original = transfer(source, target, 60)
    answer = refund(original, amount="20")
    assert entry_types(answer) == ["REFUND_OUT", "REFUND_IN"]
    wallets = [one["wallet_uuid"] for one in answer.get_json()["transactions"]]
    assert wallets == [str(target), str(source)]
    assert (balance(source), balance(target)) == ("60.00", "40.00")
    seen = client.get(f"{API}/operations/{answer.get_json()['reference_id']}")
    assert seen.get_json()["transactions"] == answer.get_json()["transactions"]
    currency = client.get(f"{API}/statistics").get_json()["currencies"][0]
    assert (currency["deposited"], currency["withdrawn"]) == ("100.00", "0.00")
    assert currency["balanced"] is True


def test_what_was_captured_comes_back(make_wallet, capture, refund, balance):
    wallet = make_wallet(100)
    answer = refund(capture(wallet, "80"), amount="30")
    assert (entry_types(answer), balance(wallet)) == (["REFUND_IN"], "50.00")


def test_what_was_captured_to_a_wallet_goes_back(make_wallet, capture, refund, balance):
    wallet, target = make_wallet(100), make_wallet()
    original = capture(wallet, "80", to_wallet=str(target))
    answer = refund(original)
    assert entry_types(answer) == ["REFUND_OUT", "REFUND_IN"]
    assert (balance(wallet), balance(target)) == ("100.00", "0.00")
    assert problem(refund(original)) == (409, "exceeds_refundable")


def test_statistics_stay_balanced(make_wallet, operate, capture, refund, client):
    wallet, target = make_wallet(100), make_wallet()
    refund(operate(wallet, "DEPOSIT", 50), amount="20")
    refund(operate(wallet, "WITHDRAW", 30), amount="10")
    refund(capture(wallet, "5", to_wallet=str(target)), amount="2")
    currency = client.get(f"{API}/statistics").get_json()["currencies"][0]
    # Ten more came back to be refunded than went.
    assert (currency["deposited"], currency["withdrawn"]) == ("150.00", "40.00")
    assert currency["balanced"] is True


def test_no_more_is_refunded_than_was_moved(make_wallet, operate, refund, refused):
    original = operate(make_wallet(500), "DEPOSIT", 100)
    refund(original, amount="30")
    path = f"{API}/operations/{original}/refund"
    answer = refused(409, "exceeds_refundable", "POST", path, json={"amount": "70.01"})
    assert (answer["remaining"], answer["refunded"]) == ("70.00", "30.00")
    refund(original)
    answer = refused(409, "exceeds_refundable", "POST", path, json={})
    assert (answer["remaining"], answer["refunded"]) == ("0.00", "100.00")


def test_a_refund_out_needs_what_is_available(make_wallet, operate, refund, refused):
    wallet = make_wallet()
    original = operate(wallet, "DEPOSIT", 100)
    operate(wallet, "WITHDRAW", 90)
    path = f"{API}/operations/{original}/refund"
    answer = refused(409, "insufficient_funds", "POST", path, json={"amount": "10.50"})
    assert (answer["available"], answer["short_by"]) == ("10.00", "0.50")


def test_the_second_of_two_identical_refunds_is_refused(
    make_wallet, operate, refund, refused
):
    original = operate(make_wallet(), "DEPOSIT", 100)
    body = {"amount": "30", "expected_refunded": "0"}
    assert told(refund(original, **body)) == ("30.00", "30.00", "70.00")
    path = f"{API}/operations/{original}/refund"
    answer = refused(409, "refunded_changed", "POST", path, json=body)
    assert (answer["refunded"], answer["remaining"]) == ("30.00", "70.00")
    again = {"amount": "30", "expected_refunded": "30.00"}
    assert told(refund(original, **again)) == ("30.00", "60.00", "40.00")


def test_a_retry_has_the_first_answer_after_all_is_refunded(
    make_wallet, operate, refund
):
    original = operate(make_wallet(), "DEPOSIT", 100)
    body = {
        "amount": "30",
        "reference_id": str(uuid.uuid4()),
        "expected_refunded": "0",
    }
    first = refund(original, **body)
    rest = {"reference_id": str(uuid.uuid4())}
    last = refund(original, **rest)
    for answer, sent in ((first, body), (last, rest)):
        again = refund(original, **sent)
        assert again.get_json() == answer.get_json()
        assert again.headers["Idempotent-Replayed"] == "true"
    reused = (422, "idempotency_key_reused")
    assert problem(refund(original, **body | {"amount": "31"})) == reused
    assert problem(refund(original, **body | {"reason": "Another"})) == reused
    # All that was left was 70: but that is another request.
    assert problem(refund(original, **rest | {"amount": "70"})) == reused


def test_a_reference_belongs_to_one_original(make_wallet, operate, refund):
    wallet = make_wallet()
    first, second = operate(wallet, "DEPOSIT", 100), operate(wallet, "DEPOSIT", 100)
    body = {"amount": "30", "reference_id": str(uuid.uuid4())}
    assert refund(first, **body).status_code == 200
    assert problem(refund(second, **body)) == (422, "idempotency_key_reused")
    body["reference_id"] = first
    assert problem(refund(first, **body)) == (422, "idempotency_key_reused")


def test_headers_are_those_of_other_operations(make_wallet, operate, refund):
    original = operate(make_wallet(), "DEPOSIT", 100)
    key = {"Idempotency-Key": "refund 17"}
    first = refund(original, headers=key, amount="10")
    assert refund(original, headers=key, amount="10").get_json() == first.get_json()
    stale = refund(original, headers={"If-Match": '"1"'}, amount="10")
    assert problem(stale) == (412, "precondition_failed")
    assert refund(original, headers={"If-Match": '"2"'}).status_code == 200


def test_what_has_moved_no_money_is_not_refunded(
    make_wallet, operate, refund, refused, client
):
    wallet = make_wallet(100)
    held = client.post(f"{API}/wallets/{wallet}/holds", json={"amount": "5"})
    hold = held.get_json()["hold"]["id"]
    voided = client.post(f"{API}/holds/{hold}/void", json={}).get_json()
    refunded = refund(operate(wallet, "DEPOSIT", 10), amount="4").get_json()
    for reference, kind in (
        (hold, "HOLD"),
        (voided["reference_id"], "VOID"),
        (refunded["reference_id"], "REFUND_OUT"),
    ):
        path = f"{API}/operations/{reference}/refund"
        answer = refused(409, "not_refundable", "POST", path, json={})
        assert answer["operation_type"] == kind
        shown = client.get(f"{API}/operations/{reference}").get_json()
        assert (shown["refunded"], shown["refunds"]) == (None, [])


def test_an_unknown_operation_is_not_refunded(app, refused):
    path = f"{API}/operations/{uuid.uuid4()}/refund"
    refused(404, "operation_not_found", "POST", path, json={})


def test_originals_and_refunds_tell_of_each_other(make_wallet, operate, refund, client):
    original = operate(make_wallet(), "DEPOSIT", 100)
    shown = client.get(f"{API}/operations/{original}").get_json()
    assert (shown["refunded"], shown["refunds"]) == ("0.00", [])
    made = [refund(original, amount="10").get_json()["reference_id"] for _ in range(3)]
    shown = client.get(f"{API}/operations/{original}").get_json()
    assert (shown["refunded"], shown["refunds"]) == ("30.00", made[::-1])
    assert shown["refund_of"] is None
    shown = client.get(f"{API}/operations/{made[0]}").get_json()
    assert (shown["operation_type"], shown["refund_of"]) == ("REFUND", original)


@pytest.mark.parametrize(
    ("block", "came_in", "went_out"), [("out", 409, 200), ("all", 409, 409)]
)
def test_a_frozen_wallet_takes_refunds_as_other_money(
    make_wallet, operate, refund, client, block, came_in, went_out
):
    wallet = make_wallet()
    deposit = operate(wallet, "DEPOSIT", 100)
    withdrawal = operate(wallet, "WITHDRAW", 9)
    frozen = client.post(
        f"{API}/wallets/{wallet}/freeze", json={"reason": "Audit", "block": block}
    )
    assert frozen.status_code == 200, frozen.text
    assert refund(deposit, amount="1").status_code == came_in
    assert refund(withdrawal, amount="1").status_code == went_out


def test_a_closed_wallet_takes_no_refund(make_wallet, operate, refund, client):
    wallet = make_wallet(10)
    withdrawal = operate(wallet, "WITHDRAW", 10)
    closed = client.post(f"{API}/wallets/{wallet}/close", json={"reason": "Left"})
    assert closed.status_code == 200, closed.text
    assert problem(refund(withdrawal)) == (409, "wallet_not_active")


@pytest.mark.parametrize("amount", ["0", "-1", "1.001", "x"])
def test_bad_amounts_are_refused(make_wallet, operate, refund, amount):
    original = operate(make_wallet(), "DEPOSIT", 100)
    assert refund(original, amount=amount).status_code == 422
