"""GET /metrics, in one process and in several."""

import os
import signal
import uuid
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from ops import Crowd, deposit, wait_until
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from wallet_app.background import heartbeat
from wallet_app.database import reading, transaction
from wallet_app.feed import relay
from wallet_app.ledger.rules import Refusal
from wallet_app.observing import metrics_page, state
from wallet_app.observing.metrics import outcome_name

OPERATION = "/api/v1/wallets/<uuid:uuid>/operation"


@pytest.fixture
def measured(app, make_app, monkeypatch):
    monkeypatch.setattr(state, "KEPT_S", 0)
    app = make_app(metrics=True)
    # Ours would call for the API's description as well.
    app.test_client_class = FlaskClient
    return app


@pytest.fixture
def web(measured):
    return measured.test_client()


def samples(page):
    """The page's values by name and labels."""
    return {
        (one.name, *sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(page)
        for one in family.samples
    }


def read(web):
    answer = web.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.content_type.startswith("text/plain; version=")
    return samples(answer.text)


def requests_of(found, **labels):
    """How many requests with these labels there were."""
    return sum(
        value
        for (name, *rest), value in found.items()
        if name == "wallet_request_seconds_count"
        and labels.items() <= dict(rest).items()
    )


def operations_of(found, operation, outcome):
    key = (("operation", operation), ("outcome", outcome))
    return found.get(("wallet_operations_total", *key), 0)


def post(web, wallet, kind="DEPOSIT", **fields):
    body = {"operation_type": kind, "amount": "1.00", **fields}
    return web.post(f"/api/v1/wallets/{wallet}/operation", json=body)


def test_requests_are_counted_by_route_and_outcome(web, make_wallet):
    wallet = make_wallet()
    for _ in range(3):
        post(web, wallet)
    post(web, wallet, "WITHDRAW", amount="9.00")
    web.get("/nothing")
    found = read(web)
    assert requests_of(found, route=OPERATION, status="200", outcome="ok") == 3
    refused = {"status": "409", "outcome": "insufficient_funds"}
    assert requests_of(found, route=OPERATION, method="POST", **refused) == 1
    assert requests_of(found, route="none", method="none", outcome="not_found") == 1


def test_clients_cannot_make_up_new_figures(web):
    before = len(read(web))
    for number in range(5):
        web.get(f"/made-up-{number}")
        web.open("/healthz", method=f"MADEUP{number}")
        web.get(f"/api/v1/wallets/{uuid.uuid4()}/balance?x={number}")
    first = len(read(web))
    for number in range(5, 9):
        web.get(f"/made-up-{number}")
        web.open("/healthz", method=f"MADEUP{number}")
        web.get(f"/api/v1/wallets/{uuid.uuid4()}/balance?x={number}")
    assert len(read(web)) == first > before


def test_operations_are_counted_by_what_became_of_them(web, make_wallet):
    wallet, reference = make_wallet(), str(uuid.uuid4())
    for _ in range(3):
        assert post(web, wallet, reference_id=reference).status_code == 200
    post(web, wallet, "WITHDRAW", amount="9.00")
    members = [
        {"operation_type": "DEPOSIT", "wallet": str(one), "amount": "1.00"}
        for one in (wallet, wallet, uuid.uuid4())
    ]
    web.post("/api/v1/operations/batch", json={"operations": members})
    found = read(web)
    assert operations_of(found, "DEPOSIT", "applied") == 3
    assert operations_of(found, "DEPOSIT", "replayed") == 2
    assert operations_of(found, "DEPOSIT", "wallet_not_found") == 1
    assert operations_of(found, "WITHDRAW", "insufficient_funds") == 1


def test_batch_that_is_refused_as_a_whole_has_applied_nothing(web, make_wallet):
    wallet = str(make_wallet())
    members = [
        {"operation_type": kind, "wallet": wallet, "amount": amount}
        for kind, amount in (("DEPOSIT", "1.00"), ("WITHDRAW", "9.00"))
    ]
    body = {"operations": members, "atomic": True}
    assert web.post("/api/v1/operations/batch", json=body).status_code == 409
    found = read(web)
    assert operations_of(found, "WITHDRAW", "insufficient_funds") == 1
    assert operations_of(found, "DEPOSIT", "applied") == 0


@pytest.mark.parametrize(
    ("applied", "name"), [("unknown", "unknown"), ("no", "try_again")]
)
def test_unknown_outcome_is_told_from_one_that_is_to_be_tried_again(applied, name):
    assert outcome_name(Refusal("try_again", "", {"applied": applied})) == name


def test_an_operation_that_fails_is_counted(measured, web, make_wallet, monkeypatch):
    def fail(_unit):
        raise RuntimeError("not foreseen")

    monkeypatch.setattr(measured.extensions["ledger"], "outcomes_of", fail)
    assert post(web, make_wallet()).status_code == 500
    found = read(web)
    assert operations_of(found, "DEPOSIT", "internal_error") == 1
    assert requests_of(found, status="500", outcome="internal_error") == 1


def test_batches_are_measured(measured, web, make_wallet):
    wallet = make_wallet()
    ledger = measured.extensions["ledger"]
    crowd = Crowd(measured, threads=16)
    crowd.together(ledger.submit, [deposit(wallet, 1) for _ in range(16)])
    found = read(web)
    batches = found["wallet_batch_operations_count",]
    assert found["wallet_batch_operations_sum",] == 16
    assert 1 <= batches <= 16
    assert found["wallet_queue_wait_seconds_count",] == batches
    for name in ("lock", "commit"):
        assert found[f"wallet_{name}_seconds_count",] == batches
        assert found[f"wallet_{name}_seconds_sum",] > 0


def test_single_posting_is_measured_without_group_commit(make_app, make_wallet):
    app = make_app(metrics=True, group_commit=False)
    wallet, web = make_wallet(), app.test_client()
    assert post(web, wallet).status_code == 200
    found = read(web)
    assert found["wallet_commit_seconds_count",] == 1
    assert operations_of(found, "DEPOSIT", "applied") == 1


def test_queue_and_pool_are_looked_at(measured, web):
    web.get("/healthz")
    wait_until(lambda: read(web)["wallet_pool_connections",] > 0, 60)
    found = read(web)
    assert found["wallet_queue_operations",] == 0
    assert found["wallet_pool_connections_in_use",] >= 0


def test_feed_and_readers_that_lag_are_seen(web, make_wallet, context):
    make_wallet(1)
    with transaction() as connection:
        connection.execute(
            text("UPDATE journal SET created_at = now() - interval '100 s'")
        )
    found = read(web)
    assert 100 <= found["wallet_feed_lag_seconds",] < 160
    relay.relay()
    found = read(web)
    assert found["wallet_feed_lag_seconds",] == 0
    assert found["wallet_rollup_lag_events",] == 2
    # Nobody listens.
    assert found["wallet_webhooks_lag_events",] == 0


def test_webhooks_that_lag_are_seen(web, make_wallet, context):
    with transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO webhooks (id, url, event_types, ordered, disabled, secret,"
                " after_position, failing_since)"
                " VALUES (gen_random_uuid(), 'https://example.com', '{}', true, false,"
                " 'x', 1, now())"
            )
        )
        connection.execute(
            text(
                "INSERT INTO webhook_deliveries (id, webhook_id, position, kind,"
                " wallet_id, next_attempt_at)"
                " SELECT gen_random_uuid(), id, n, 'posted', 1,"
                " now() - n * interval '10 s'"
                " FROM webhooks, generate_series(-3, 5) AS n"
            )
        )
    make_wallet(1)
    relay.relay()
    found = read(web)
    assert found["wallet_webhooks_lag_events",] == 1
    assert found["wallet_webhook_deliveries_pending",] == 9
    assert 50 <= found["wallet_webhook_overdue_seconds",] < 110
    assert found["wallet_webhooks_failing",] == 1


def test_workers_and_their_rollup_are_seen(web, context):
    heartbeat.note(heartbeat.WORKER + "one")
    heartbeat.note(heartbeat.ROLLUP)
    found = read(web)
    assert found["wallet_workers",] == 1
    assert 0 <= found["wallet_rollup_age_seconds",] < 60


def test_a_transaction_that_stays_open_is_seen(web, context):
    with transaction() as connection:
        connection.execute(text("SELECT count(*) FROM wallets"))
        first = read(web)["wallet_oldest_transaction_seconds",]
        wait_until(lambda: read(web)["wallet_oldest_transaction_seconds",] > first, 60)


def test_books_are_seen(web, runner, make_wallet, context):
    make_wallet(1)
    from wallet_app.books import sweeping  # noqa: PLC0415

    while sweeping.sweep_on():
        pass
    found = read(web)
    assert found["wallet_books_wallets_checked_total",] == 1
    assert found["wallet_books_entries_checked_total",] == 1
    assert found["wallet_books_mismatches",] == 0


def test_database_is_asked_seldom(app, make_app, monkeypatch):
    asked = []
    monkeypatch.setattr(state, "ask", lambda: asked.append(1))
    web = make_app(metrics=True).test_client()
    for _ in range(5):
        assert read(web)["wallet_database_up",] == 0
    assert len(asked) == 1


def test_figures_of_the_process_are_told_while_the_database_is_away(app, make_app):
    nobody = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    web = make_app(metrics=True, database_url=nobody).test_client()
    web.get("/readyz")
    found = read(web)
    assert found["wallet_database_up",] == 0
    assert requests_of(found, route="/readyz", status="503") == 1
    assert ("wallet_workers",) not in found


@pytest.mark.parametrize("header", metrics_page.FORWARDED)
def test_who_comes_by_a_proxy_is_told_nothing(web, header):
    answer = web.get("/metrics", headers={header: "203.0.113.9"})
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_there_is_no_page_unless_it_is_asked_for(client):
    assert client.get("/metrics").status_code == 404


def total(served):
    """What the workers of a gunicorn have counted together."""
    status, page = served.call("GET", "/metrics")
    assert status == 200
    return samples(page)


def applied(served):
    return operations_of(total(served), "DEPOSIT", "applied")


def deposit_at(served, wallet, times):
    body = {"operation_type": "DEPOSIT", "amount": "1.00"}
    for _ in range(times):
        path = f"/api/v1/wallets/{wallet}/operation"
        assert served.call("POST", path, body)[0] == 200


@pytest.mark.slow
def test_sums_of_all_workers_are_right_after_one_was_killed(app, serve, make_wallet):
    wallet = make_wallet()
    with serve(WALLET_METRICS="on") as served:
        served.wait_for_workers()
        wait_until(
            lambda: total(served).get(("wallet_pool_connections",)) == 2 * 32, 60
        )
        folder = metrics_folder(served)
        first, second = served.workers()
        sent = 0
        # Each of them has counted something.
        while not all(
            (folder / f"counter_{pid}.db").exists() for pid in (first, second)
        ):
            assert sent < 500
            deposit_at(served, wallet, 1)
            sent += 1
        # What a worker has counted is seen by the others within a second.
        wait_until(lambda: applied(served) == sent, 60)
        os.kill(first, signal.SIGKILL)
        served.wait_for_workers(gone=[first])
        deposit_at(served, wallet, 5)
        wait_until(lambda: applied(served) == sent + 5, 60)
        assert total(served)["wallet_batch_operations_sum",] == sent + 5
        # What the dead worker had at work is gone with it.
        assert not list(folder.glob(f"gauge_live*_{first}.db"))
        # Workers that are asked to end count what they have done.
        deposit_at(served, wallet, 3)
        before = served.workers()
        served.process.send_signal(signal.SIGHUP)
        served.wait_for_workers(gone=before)
        wait_until(lambda: applied(served) == sent + 8, 60)
    assert not folder.exists()


def metrics_folder(served):
    """Where the workers' figures are, of which each has files in its memory."""
    maps = Path(f"/proc/{served.workers()[0]}/maps").read_text()
    (folder,) = {
        Path(line.split()[-1]).parent
        for line in maps.splitlines()
        if line.endswith(".db")
    }
    return folder


@pytest.mark.slow
def test_named_folder_is_emptied_at_the_start(app, serve, tmp_path, make_wallet):
    folder = tmp_path / "figures"
    wallet = make_wallet()
    settings = {"WALLET_METRICS": "on", "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    for _ in range(2):
        with serve(**settings) as served:
            deposit_at(served, wallet, 2)
            wait_until(lambda: applied(served) == 2, 60)
    assert list(folder.glob("*.db"))


def test_what_the_database_is_asked_does_not_grow_with_the_data(context, make_wallet):
    """Pages that are read where there is much, and with ten times as much."""
    make_wallet(1)
    with transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO webhooks (id, url, event_types, ordered, disabled, secret,"
                " after_position) VALUES (gen_random_uuid(), 'https://example.com',"
                " '{}', true, false, 'x', 0)"
            )
        )
    add_deliveries(4_000)
    first = pages_read()
    add_deliveries(36_000)
    assert pages_read() < 2 * first


def add_deliveries(count):
    """Half of them are made."""
    with transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO webhook_deliveries (id, webhook_id, position, kind,"
                " wallet_id, state) SELECT gen_random_uuid(), id, n, 'posted', 1,"
                " CASE WHEN n % 2 = 0 THEN 'pending' ELSE 'delivered' END"
                " FROM webhooks, generate_series(1, :count) AS n"
            ),
            {"count": count},
        )
        connection.execute(text("ANALYZE webhook_deliveries"))


def pages_read():
    explain = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {state.QUERY.text}")
    with reading() as connection:
        ((plan,),) = connection.scalars(explain, state.PARAMETERS)
    return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
