"""Imports: each row once, whatever happens; each row told of, whatever it is."""

import csv
import io
import json
import uuid
from decimal import Decimal

import books
import pytest
from sqlalchemy import text

from wallet_app.background import hints, jobs
from wallet_app.database import reading, transaction
from wallet_app.imports import lifecycle, pace, pieces, steps, tasks, worker
from wallet_app.imports.pieces import MAX_LINE_BYTES
from wallet_app.ledger import tenants

PATH = "/api/v1/operations/import"
NDJSON = "application/x-ndjson"


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """The hints that were sent instead of going to a broker."""
    found = []
    monkeypatch.setattr(hints, "send", lambda *hint: bool(found.append(hint)) or True)
    return found


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(pace, "ROWS_ALONE", 7)
    monkeypatch.setattr(pieces, "CHUNK_BYTES", 2000)


def deposit(wallet, amount="1.00", **fields):
    return {
        "operation_type": "DEPOSIT",
        "wallet": str(wallet),
        "amount": amount,
    } | fields


def ndjson(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def send(client, body, *, content_type=NDJSON, **headers):
    answer = client.post(
        PATH,
        data=body,
        content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"].endswith(answer.json["id"])
    return answer.json


def post(client, sent_import):
    """Post all of it; return its details and its outcomes."""
    import_id = uuid.UUID(sent_import["id"])
    with client.application.app_context():
        assert worker.run(import_id, seconds=60)
    return look(client, import_id), outcomes(client, import_id)


def look(client, import_id):
    return client.get(f"/api/v1/operations/imports/{import_id}").get_json()


def outcomes(client, import_id, file_format="csv"):
    answer = client.get(
        f"/api/v1/operations/imports/{import_id}/outcomes?format={file_format}"
    )
    assert answer.status_code == 200, answer.text
    if file_format == "ndjson":
        return [json.loads(line) for line in answer.text.splitlines()]
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def balance(client, wallet):
    return Decimal(client.get(f"/api/v1/wallets/{wallet}").get_json()["balance"])


def amounts(wallet):
    """What was posted to a wallet, in its order."""
    with reading() as connection:
        return list(
            connection.scalars(
                text(
                    "SELECT amount FROM transactions JOIN wallets"
                    " ON wallets.id = wallet_id WHERE uuid = :uuid ORDER BY seq"
                ),
                {"uuid": wallet},
            )
        )


def test_rows_are_posted_in_the_files_order(client, context, make_wallet, small_parts):
    wallets = [make_wallet() for _ in range(3)]
    rows = [deposit(wallets[n % 3], f"{n + 1}.00") for n in range(60)]
    details, told = post(client, send(client, ndjson(rows)))
    assert (details["state"], details["progress"]) == ("finished", 100)
    assert (details["rows"], details["applied"]) == (60, 60)
    assert details["bytes_done"] == details["size_bytes"] == len(ndjson(rows))
    for place, wallet in enumerate(wallets):
        assert amounts(wallet) == [n + 1 for n in range(60) if n % 3 == place]
    assert [int(one["row"]) for one in told] == list(range(1, 61))
    assert told[59]["seq"] == "20"
    assert told[59]["balance_after"] == f"{sum(range(3, 61, 3))}.00"
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM import_chunks")) == 0


def test_csv_takes_what_json_takes(client, make_wallet):
    one, other = make_wallet(), make_wallet()
    reference = uuid.uuid4()
    body = (
        "\ufeffoperationType,wallet,from_wallet,to_wallet,amount,description,"
        "reference_id,metadata\r\n"
        f'DEPOSIT,{one},,,10.00,"First, in ""quotes""",{reference},\r\n'
        "\r\n"
        f'TRANSFER,,{one},{other},2.50,,,"{{""order"": ""7""}}"\r\n'
    )
    details, told = post(client, send(client, body, content_type="text/csv"))
    assert (details["rows"], details["applied"]) == (2, 2)
    assert [row["row"] for row in told] == ["2", "4"]
    assert told[0]["reference_id"] == str(reference)
    found = client.get(f"/api/v1/operations/{reference}").get_json()
    assert found["transactions"][0]["description"] == 'First, in "quotes"'
    moved = client.get(f"/api/v1/operations/{told[1]['reference_id']}").get_json()
    assert moved["transactions"][0]["metadata"] == {"order": "7"}
    assert (balance(client, one), balance(client, other)) == (Decimal("7.5"), 2.5)


def test_a_bad_row_is_told_and_the_others_go_on(client, make_wallet, small_parts):
    wallet = make_wallet()
    good = json.dumps(deposit(wallet))
    bad = {
        2: ("{", "malformed_request", "not JSON"),
        3: ("[1]", "validation_failed", "Correct"),
        4: (json.dumps(deposit(wallet, "-1")), "validation_failed", "amount"),
        5: (json.dumps(deposit(wallet, hold=str(wallet))), "validation_failed", "hold"),
        6: (json.dumps(deposit(uuid.uuid4())), "wallet_not_found", "no wallet"),
        7: ('{"a": 1, "a": 2}', "malformed_request", "The line names a field twice"),
        8: ("x" * (MAX_LINE_BYTES * 3), "malformed_request", "shorten"),
        9: ('"\\ud800"', "validation_failed", "Correct"),
        10: (
            json.dumps(deposit(wallet, "5.00", operation_type="WITHDRAW")),
            "insufficient_funds",
            "too little",
        ),
        11: ("[" * 50_000, "malformed_request", "nested"),
    }
    lines = [good, *(line for line, *_ in bad.values()), good]
    details, told = post(client, send(client, "\n".join(lines)))
    assert (details["applied"], details["refused"]) == (2, 10)
    assert [int(row["row"]) for row in told] == list(range(1, 13))
    for row in told[1:11]:
        _, code, word = bad[int(row["row"])]
        assert (row["code"], row["seq"]) == (code, "")
        assert word in row["detail"]
    again = outcomes(client, details["id"], "ndjson")
    assert again[0] == {
        "row": 1,
        "status": 200,
        "code": "ok",
        "reference_id": told[0]["reference_id"],
        "seq": 1,
        "balance_after": "1.00",
    }
    assert [row["detail"] for row in again[1:11]] == [
        row["detail"] for row in told[1:11]
    ]


def test_an_own_reference_that_was_posted_before_is_replayed(client, make_wallet):
    wallet, reference = make_wallet(), str(uuid.uuid4())
    client.post(
        f"/api/v1/wallets/{wallet}/operation",
        json={
            "operation_type": "DEPOSIT",
            "amount": "1.00",
            "reference_id": reference,
        },
    )
    rows = [deposit(wallet, reference_id=reference)] * 2
    other = deposit(wallet, "2.00", reference_id=reference)
    details, told = post(client, send(client, ndjson([*rows, other])))
    assert (details["replayed"], details["refused"]) == (2, 1)
    assert [row["code"] for row in told] == [
        "replayed",
        "replayed",
        "idempotency_key_reused",
    ]
    assert balance(client, wallet) == 1


def test_holds_made_and_captured_in_one_file(client, make_wallet, small_parts):
    wallet, hold = make_wallet(100), str(uuid.uuid4())
    made = deposit(wallet, "30.00", operation_type="HOLD", reference_id=hold)
    capture = {"operation_type": "CAPTURE", "hold": hold, "amount": "10.00"}
    rows = [made, *([deposit(wallet)] * 10), capture]
    details, _ = post(client, send(client, ndjson(rows)))
    assert (details["applied"], details["refused"]) == (12, 0)
    assert balance(client, wallet) == 100


def test_the_same_body_and_key_are_one_import(client, make_wallet):
    wallet = make_wallet()
    body = ndjson([deposit(wallet)] * 3)
    first = send(client, body, Idempotency_Key="july")
    assert send(client, body, Idempotency_Key="july")["id"] == first["id"]
    post(client, first)
    again = send(client, body, Idempotency_Key="july")
    assert (again["id"], again["state"]) == (first["id"], "finished")
    other = client.post(
        PATH, data=body * 2, content_type=NDJSON, headers={"Idempotency-Key": "july"}
    )
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert send(client, body)["id"] != first["id"]
    assert balance(client, wallet) == 3


def test_a_worker_that_is_interrupted_goes_on_where_it_was(
    client, context, make_wallet, small_parts, monkeypatch
):
    wallet = make_wallet()
    started = send(client, ndjson([deposit(wallet, f"{n + 1}.00") for n in range(40)]))
    import_id = uuid.UUID(started["id"])
    step, done = steps.step, []

    def fail_at_the_third(*args):
        step(*args)
        done.append(args)
        if len(done) == 3:
            raise RuntimeError("killed in the middle of a transaction")

    monkeypatch.setattr(steps, "step", fail_at_the_third)
    monkeypatch.setattr(worker, "is_outage", lambda _: True)
    with pytest.raises(RuntimeError):
        worker.run(import_id, seconds=60)
    monkeypatch.undo()
    halfway = look(client, import_id)
    assert (halfway["state"], halfway["applied"]) == ("pending", 14)
    assert amounts(wallet) == list(range(1, 15))
    details, told = post(client, started)
    assert (details["applied"], details["replayed"]) == (40, 0)
    assert [int(row["row"]) for row in told] == list(range(1, 41))
    assert amounts(wallet) == list(range(1, 41))


def test_who_has_lost_the_lease_posts_nothing(
    client, context, make_wallet, small_parts
):
    wallet = make_wallet()
    started = send(client, ndjson([deposit(wallet)] * 10))
    import_id = uuid.UUID(started["id"])
    slow = lifecycle.claim(import_id)
    with transaction() as connection:
        connection.execute(
            text("UPDATE imports SET leased_until = now() - interval '1 second'")
        )
    quick = lifecycle.claim(import_id)
    assert quick.lease_id != slow.lease_id
    with pytest.raises(jobs.LeaseLostError):
        worker.post_for(slow, 60)
    assert amounts(wallet) == []
    assert worker.post_for(quick, 60)
    assert len(amounts(wallet)) == 10


def test_after_its_turn_an_import_waits_for_the_next(
    client, context, make_wallet, small_parts, sent, monkeypatch
):
    monkeypatch.setattr(tasks, "TURN_S", 0.0)
    wallet = make_wallet()
    started = send(client, ndjson([deposit(wallet)] * 20))
    turns = 0
    while look(client, started["id"])["state"] != "finished":
        turns += 1
        tasks.post_import(started["id"])
        assert turns < 10
    assert turns == 3
    assert len(amounts(wallet)) == 20
    assert sent == [(hints.POST_IMPORT, started["id"])] * 3


def test_a_row_that_cannot_be_posted_harms_no_other(
    client, context, make_wallet, small_parts, monkeypatch
):
    wallet = make_wallet()
    started = send(client, ndjson([deposit(wallet, f"{n + 1}.00") for n in range(20)]))
    real = worker.post_with_retries

    def fails_for_the_twelfth(units, *args, **options):
        if any(one.amount == 12 for one in units[0].operations):
            raise ValueError("a defect")
        return real(units, *args, **options)

    monkeypatch.setattr(worker, "post_with_retries", fails_for_the_twelfth)
    details, told = post(client, started)
    assert (details["applied"], details["refused"]) == (19, 1)
    assert told[11]["code"] == "internal_error"
    assert amounts(wallet) == [n for n in range(1, 21) if n != 12]


def test_cancelled_it_posts_no_more(client, context, make_wallet, small_parts):
    wallet = make_wallet()
    started = send(client, ndjson([deposit(wallet)] * 30))
    path = f"/api/v1/operations/imports/{started['id']}"
    worker.run(uuid.UUID(started["id"]), seconds=0)
    answer = client.post(f"{path}/cancel")
    assert answer.json["state"] == "cancelled"
    assert client.post(f"{path}/cancel").json == answer.json
    assert not worker.run(uuid.UUID(started["id"]), seconds=60)
    assert len(amounts(wallet)) == answer.json["applied"] == 7
    assert len(outcomes(client, started["id"])) == 7


def test_cancelled_while_it_is_posted_it_stops_at_once(
    client, context, make_wallet, small_parts
):
    wallet = make_wallet()
    started = send(client, ndjson([deposit(wallet)] * 30))
    claimed = lifecycle.claim(uuid.UUID(started["id"]))
    client.post(f"/api/v1/operations/imports/{started['id']}/cancel")
    with pytest.raises(jobs.LeaseLostError):
        worker.post_for(claimed, 60)
    assert amounts(wallet) == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(NDJSON, ""), (NDJSON, "\n \n"), ("text/csv", ""), ("text/csv", "operation_type")],
)
def test_a_file_without_rows_is_refused(refused, client, context, content_type, body):
    problem = refused(
        422, "validation_failed", "POST", PATH, data=body, content_type=content_type
    )
    assert problem["detail"]
    assert client.get("/api/v1/operations/imports").json["data"] == []
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM imports")) == 0


@pytest.mark.parametrize(
    "header", ["wallet,amount", "operation_type,wallet,wallet", "operation_type,vallet"]
)
def test_a_csv_file_must_name_its_columns(refused, header):
    body = f"{header}\nDEPOSIT,x,1\n"
    refused(422, "validation_failed", "POST", PATH, data=body, content_type="text/csv")


def test_other_types_of_body_are_refused(refused):
    refused(415, "unsupported_media_type", "POST", PATH, json={})


def test_what_is_too_large_leaves_nothing(make_app, app, make_wallet):
    small = make_app(import_max_bytes=1000).test_client()
    body = ndjson([deposit(make_wallet())] * 50)
    answer = small.post(PATH, data=body, content_type=NDJSON)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    with app.app_context(), reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM imports")) == 0


def test_a_body_that_is_cut_leaves_nothing(client, context, make_wallet):
    body = ndjson([deposit(make_wallet())] * 50).encode()
    answer = client.post(
        PATH,
        input_stream=io.BytesIO(body[:100]),
        content_type=NDJSON,
        # As gunicorn says that it ends the stream: what else does not look at it.
        environ_overrides={
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input_terminated": True,
        },
    )
    assert (answer.status_code, answer.json["code"]) == (400, "malformed_request")
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM imports")) == 0


def test_outcomes_are_there_when_it_has_ended(client, context, make_wallet):
    started = send(client, ndjson([deposit(make_wallet())]))
    path = f"/api/v1/operations/imports/{started['id']}"
    answer = client.get(f"{path}/outcomes")
    assert (answer.status_code, answer.json["code"]) == (409, "import_not_ready")
    post(client, started)
    with transaction() as connection:
        connection.execute(text("UPDATE imports SET expires_at = now()"))
    tasks.clean_up_imports()
    answer = client.get(f"{path}/outcomes")
    assert (answer.status_code, answer.json["code"]) == (410, "import_expired")
    assert client.get(path).json["state"] == "expired"
    with reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM import_outcomes")) == 0


def test_imports_are_listed_newest_first(client, make_wallet):
    body = ndjson([deposit(make_wallet())])
    ids = [send(client, body)["id"] for _ in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        query = f"?limit=2&cursor={cursor}" if cursor else "?limit=2"
        page = client.get(f"/api/v1/operations/imports{query}").get_json()
        seen += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]


def test_another_tenants_import_is_not_found(client, context, make_wallet):
    started = send(client, ndjson([deposit(make_wallet())]))
    other = tenants.create("other") if hasattr(tenants, "create") else 2
    with pytest.raises(Exception, match="no import"), reading() as connection:
        lifecycle.find(connection, other, uuid.UUID(started["id"]))
    with pytest.raises(Exception, match="no import"):
        lifecycle.cancel(other, uuid.UUID(started["id"]), worker.keep())
    assert look(client, started["id"])["state"] == "pending"
    books.check()


def test_the_command_posts_a_file_once(runner, client, make_wallet, tmp_path):
    wallet = make_wallet()
    file = tmp_path / "july.ndjson"
    file.write_text(ndjson([deposit(wallet)] * 30))
    for _ in range(2):
        result = runner.invoke(args=["wallet", "import", str(file)])
        assert result.exit_code == 0, result.output
        assert "30 applied, 0 replayed, 0 refused of 30" in result.output
    assert balance(client, wallet) == 30
    told = (tmp_path / "july.ndjson.outcomes.csv").read_text().splitlines()
    assert len(told) == 31


def test_the_command_tells_of_refused_rows(runner, make_wallet, tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text(f"operation_type,wallet,amount\nDEPOSIT,{make_wallet()},x\n")
    result = runner.invoke(args=["wallet", "import", str(file)])
    assert result.exit_code == 1
    assert "1 refused of 1" in result.output
    assert "Correct amount" in (tmp_path / "bad.csv.outcomes.csv").read_text()
