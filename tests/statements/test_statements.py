"""Statements: the same period always gives the same file, and every one ends."""

import csv
import hashlib
import io
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import bulk_history
import pytest
from ops import Crowd, deposit
from sqlalchemy import text

from wallet_app.background import hints, jobs
from wallet_app.database import reading, transaction
from wallet_app.errors import InvalidRequest
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID
from wallet_app.statements import entry_stream, files, lifecycle, tasks, writer

PATH = "/api/v1/wallets/{}/statements"
JANUARY = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}


@pytest.fixture
def sent(monkeypatch):
    """The hints that were sent instead of going to a broker."""
    found = []
    monkeypatch.setattr(hints, "send", lambda *hint: bool(found.append(hint)) or True)
    return found


@pytest.fixture
def wallet(context):
    """Two hundred entries, five hours apart, so until the tenth of February."""
    (uuid_,) = bulk_history.make_wallets(1)
    bulk_history.add_transactions([uuid_], 200, step=timedelta(hours=5))
    return uuid_


@pytest.fixture
def short_reads(monkeypatch):
    monkeypatch.setattr(entry_stream, "ROWS_A_READ", 16)


def ask(client, wallet, **changes):
    answer = client.post(PATH.format(wallet), json={**JANUARY, **changes})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/api/v1/statements/{answer.json['id']}"
    return answer.headers["Location"], uuid.UUID(answer.json["id"])


def written(client, wallet, **changes):
    location, statement_id = ask(client, wallet, **changes)
    assert writer.write(statement_id)
    return client.get(location).get_json(), download(client, location)


def download(client, location):
    # Buffered, so that the file is closed.
    return client.get(f"{location}/file", buffered=True)


def alter(statement_id, change):
    with transaction() as connection:
        connection.execute(
            text(f"UPDATE statements SET {change} WHERE id = :id"),
            {"id": statement_id},
        )


def test_csv_holds_exactly_the_entries_of_the_period(client, wallet, short_reads):
    statement, file = written(client, wallet, format="csv")
    assert file.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(file.text, newline="")))
    with reading() as connection:
        expected = connection.execute(
            text(
                "SELECT * FROM transactions WHERE created_at >= :from"
                " AND created_at < :to ORDER BY seq"
            ),
            JANUARY,
        ).all()
    assert [int(row["seq"]) for row in rows] == [entry.seq for entry in expected]
    for row, entry in zip(rows, expected, strict=True):
        assert row["operation_type"] == entry.operation_type
        assert row["reference_id"] == str(entry.reference_id)
        for name in ("amount", "balance_before", "balance_after"):
            assert row[name] == f"{entry._mapping[name]:.2f}"
    assert statement["rows"] == len(expected) == 148
    assert statement["opening_balance"] == rows[0]["balance_before"]
    assert statement["closing_balance"] == rows[-1]["balance_after"]
    assert statement["sha256"] == hashlib.sha256(file.data).hexdigest()
    assert statement["size_bytes"] == len(file.data)
    assert (statement["state"], statement["progress"]) == ("ready", 100)


def test_json_adds_up(client, wallet, short_reads):
    _, file = written(client, wallet, format="json")
    body = file.get_json()
    balance = Decimal(body["opening_balance"])
    for entry in body["entries"]:
        sign = 1 if entry["operation_type"] == "DEPOSIT" else -1
        balance += sign * Decimal(entry["amount"])
        assert Decimal(entry["balance_after"]) == balance
    assert balance == Decimal(body["closing_balance"])
    assert body["count"] == len(body["entries"]) == 148


def test_pdf_is_a_document_of_several_pages(client, wallet):
    _, file = written(client, wallet, format="pdf")
    assert file.data.startswith(b"%PDF-")
    assert file.data.count(b"/Type /Page\n") == 4
    assert "attachment" in file.headers["Content-Disposition"]


@pytest.mark.parametrize("file_format", ["csv", "json", "pdf"])
def test_written_again_the_bytes_are_the_same(client, wallet, file_format, monkeypatch):
    first, file = written(client, wallet, format=file_format)
    bulk_history.add_transactions([wallet], 5, step=timedelta(hours=5))
    monkeypatch.setattr(entry_stream, "ROWS_A_READ", 7)
    lifecycle.reopen(uuid.UUID(first["id"]))
    second, again = written(client, wallet, format=file_format)
    assert first["id"] == second["id"]
    assert file.data == again.data


@pytest.mark.parametrize("file_format", ["csv", "json", "pdf"])
def test_a_period_without_entries_has_a_statement(client, wallet, file_format):
    quiet = {"from": "2026-05-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}
    statement, file = written(client, wallet, format=file_format, **quiet)
    assert statement["rows"] == 0
    assert statement["opening_balance"] == statement["closing_balance"] != "0.00"
    assert file.status_code == 200


def test_asked_twice_it_is_one_statement(app, client, wallet, sent):
    crowd = Crowd(app, 8)
    answers = crowd.together(
        lambda _: app.test_client().post(PATH.format(wallet), json=JANUARY), range(8)
    )
    assert {answer.status_code for answer in answers} == {202}
    (only,) = {answer.json["id"] for answer in answers}
    assert writer.write(uuid.UUID(only))
    again = client.post(
        PATH.format(wallet),
        json={"from": "2026-01-01T01:00:00+01:00", "to": JANUARY["to"]},
    )
    assert (again.json["id"], again.json["state"]) == (only, "ready")


def test_the_hint_goes_out_after_the_commit(client, wallet, monkeypatch):
    seen = []

    def look(_task, statement_id):
        with reading() as connection:
            seen.append(
                lifecycle.find(
                    connection, DEFAULT_TENANT_ID, uuid.UUID(statement_id)
                ).state
            )

    monkeypatch.setattr(hints, "send", look)
    ask(client, wallet)
    assert seen == ["pending"]


def test_a_file_is_not_there_before_it_is_whole(client, wallet, sent, monkeypatch):
    location, statement_id = ask(client, wallet)
    assert download(client, location).json["code"] == "statement_not_ready"
    monkeypatch.setattr(entry_stream, "ROWS_A_READ", 37)
    monkeypatch.setattr(writer, "PROGRESS_INTERVAL_S", 0)
    seen = []
    note_progress = lifecycle.note_progress

    def look(*args):
        note_progress(*args)
        seen.append(client.get(location).json["progress"])
        assert download(client, location).status_code == 409

    monkeypatch.setattr(lifecycle, "note_progress", look)
    writer.write(statement_id)
    assert seen == [25, 50, 75, 99]
    assert download(client, location).status_code == 200


def test_a_posting_under_way_belongs_to_the_statement(app, client, context, sent):
    """It took its time stamp before the statement was asked for and commits after."""
    (wallet,) = bulk_history.make_wallets(1)
    crowd = Crowd(app, 1)
    with transaction() as posting:
        posting.execute(text("SELECT 1 FROM wallets FOR UPDATE"))
        moment = datetime.now(UTC)
        posting.execute(
            text(
                "INSERT INTO transactions (wallet_id, seq, operation_type, amount,"
                " balance_before, balance_after, created_at)"
                " SELECT id, 1, 'DEPOSIT', 5, 0, 5, :at FROM wallets"
            ),
            {"at": moment},
        )
        posting.execute(
            text("UPDATE wallets SET version = 1, balance = 5, updated_at = :at"),
            {"at": moment},
        )
        to_at = datetime.now(UTC)
        asking = crowd.start(
            lambda: lifecycle.request(
                (DEFAULT_TENANT_ID, wallet),
                from_at=to_at - timedelta(days=1),
                to_at=to_at,
                file_format="csv",
            )
        )
        with pytest.raises(TimeoutError):
            asking.result(0.2)
    assert asking.result(5).last_seq == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": "2999-01-01T00:00:00Z"}, "to"),
        ({"to": "2026-01-01T00:00:00Z"}, "to"),
        ({"from": "2020-01-01T00:00:00Z"}, "to"),
        ({"from": "0001-01-01T00:00:00+14:00", "to": "0001-02-01T00:00:00Z"}, "from"),
        ({"from": "2026-01-01"}, "from"),
        ({"format": "xlsx"}, "format"),
        ({"limit": 5}, "limit"),
        ({"to": None}, "to"),
    ],
)
def test_what_cannot_be_written_is_refused(client, wallet, sent, changes, field):
    answer = client.post(PATH.format(wallet), json={**JANUARY, **changes})
    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]
    assert sent == []


def test_too_many_entries_are_refused_with_a_way_out(wallet, monkeypatch):
    monkeypatch.setitem(lifecycle.MAX_ROWS, "pdf", 100)
    with pytest.raises(InvalidRequest, match=r"148 entries.*or for csv"):
        lifecycle.request(
            (DEFAULT_TENANT_ID, wallet),
            from_at=datetime.fromisoformat(JANUARY["from"]),
            to_at=datetime.fromisoformat(JANUARY["to"]),
            file_format="pdf",
        )


def test_unknown_wallets_and_statements_are_not_found(client):
    nobody = uuid.uuid4()
    answer = client.post(PATH.format(nobody), json=JANUARY)
    assert answer.json["code"] == "wallet_not_found"
    path = f"/api/v1/statements/{nobody}"
    for answer in (client.get(path), download(client, path)):
        assert answer.json["code"] == "statement_not_found"


def test_two_workers_do_not_write_one_statement(app, client, wallet, sent):
    _, statement_id = ask(client, wallet)
    crowd = Crowd(app, 6)
    done = crowd.together(lambda _: writer.write(statement_id), range(6))
    assert sorted(done) == [False] * 5 + [True]


def test_the_statement_of_a_dead_worker_is_taken_up_again(client, wallet, sent):
    location, statement_id = ask(client, wallet)
    assert lifecycle.claim(statement_id) is not None
    assert lifecycle.due() == []
    assert not writer.write(statement_id)
    alter(statement_id, "leased_until = now() - interval '1 second'")
    tasks.resume_statements()
    assert sent[-1] == (hints.WRITE_STATEMENT, str(statement_id))
    tasks.write_statement(str(statement_id))
    assert client.get(location).json["state"] == "ready"
    assert lifecycle.due() == []


def test_a_worker_that_was_thought_dead_changes_nothing(client, wallet, sent):
    location, statement_id = ask(client, wallet)
    slow = lifecycle.claim(statement_id)
    alter(statement_id, "leased_until = now() - interval '1 second'")
    assert writer.write(statement_id)
    ready = client.get(location).json
    with pytest.raises(jobs.LeaseLostError):
        writer.write_claimed(slow)
    assert client.get(location).json == ready
    assert download(client, location).status_code == 200


def test_a_statement_that_kills_its_workers_is_given_up(client, wallet, sent):
    location, statement_id = ask(client, wallet)
    for _ in range(jobs.MAX_ATTEMPTS):
        assert lifecycle.claim(statement_id) is not None
        alter(statement_id, "leased_until = now() - interval '1 second'")
    assert lifecycle.due() == []
    assert client.get(location).json["state"] == "failed"
    assert download(client, location).json["code"] == "statement_failed"
    again = client.post(PATH.format(wallet), json=JANUARY)
    assert (again.json["id"], again.json["state"]) == (str(statement_id), "pending")
    assert writer.write(statement_id)


def test_an_interrupted_statement_waits_for_another_try(client, wallet, monkeypatch):
    location, statement_id = ask(client, wallet)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(writer.WRITERS, "csv", interrupt)
        with pytest.raises(KeyboardInterrupt):
            writer.write(statement_id)
    body = client.get(location).json
    assert (body["state"], body["file"]) == ("pending", None)
    assert list(files.folder().glob(f"{statement_id}*")) == []
    assert lifecycle.due() == [statement_id]
    assert writer.write(statement_id)


def test_entries_that_do_not_add_up_are_never_handed_out(client, wallet, monkeypatch):
    location, statement_id = ask(client, wallet)
    monkeypatch.setattr(entry_stream.EntryType, "move", lambda *_: Decimal(1))
    assert not writer.write(statement_id)
    body = client.get(location).json
    assert body["state"] == "failed"
    assert "does not add up" in body["error"]


def test_a_lost_file_is_written_again(client, wallet, sent):
    statement, _ = written(client, wallet)
    next(files.folder().glob(f"{statement['id']}.*")).unlink()
    path = f"/api/v1/statements/{statement['id']}"
    assert download(client, path).json["code"] == "statement_not_ready"
    assert sent[-1] == (hints.WRITE_STATEMENT, statement["id"])
    assert writer.write(uuid.UUID(statement["id"]))
    assert client.get(path).json["sha256"] == statement["sha256"]


def test_old_files_go_and_can_be_asked_for_again(client, wallet, sent):
    statement, file = written(client, wallet)
    assert writer.expire() == 0
    alter(statement["id"], "expires_at = now() - interval '1 second'")
    tasks.expire_statements()
    path = f"/api/v1/statements/{statement['id']}"
    assert download(client, path).status_code == 410
    assert list(files.folder().glob(f"{statement['id']}*")) == []
    again, file_again = written(client, wallet)
    assert again["id"] == statement["id"]
    assert file_again.data == file.data


def test_files_that_nobody_wants_are_deleted(client, wallet, sent, monkeypatch):
    wanted, _ = written(client, wallet)
    folder = files.folder()
    stray = folder / f"{uuid.uuid4()}.csv.{uuid.uuid4().hex}.part"
    stray.touch()
    (folder / "notes.txt").touch()
    writer.expire()
    assert stray.exists()
    monkeypatch.setattr(files, "STRAY_AFTER_S", -60)
    writer.expire()
    assert not stray.exists()
    assert (folder / "notes.txt").exists()
    assert next(folder.glob(f"{wanted['id']}.csv")).exists()


def test_cells_that_a_spreadsheet_would_run_are_neutralised(app, client, make_wallet):
    formulas = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\n=1"]
    texts = [*formulas, 'rent, "May"', "plain = text", "日本\nline"]
    wallet = make_wallet()
    ledger = app.extensions["ledger"]
    with app.app_context():
        for description in texts:
            ledger.submit(deposit(wallet, 1, description=description))
        now = datetime.now(UTC)
        _, file = written(
            client,
            wallet,
            **{"from": (now - timedelta(1)).isoformat(), "to": now.isoformat()},
        )
    rows = list(csv.DictReader(io.StringIO(file.text, newline="")))
    expected = [f"'{one}" for one in formulas] + texts[len(formulas) :]
    assert [row["description"] for row in rows] == expected
