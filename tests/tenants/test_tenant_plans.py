"""A small tenant beside a very large one: what it reads is a part of its own."""

import uuid

import flask_migrate
import pytest
from flask import g
from flask.testing import FlaskClient
from gunicorns import ROOT
from sqlalchemy import text

from proofs import finding
from wallet_app.access import tenants
from wallet_app.database import transaction
from wallet_app.http.caller import Caller

MANY, FEW = 20_000, 20
# Twenty wallets with two transactions each, and what belongs to them.
MOST_ROWS = 50 * FEW
# What the large tenant has besides the wallets that proofs/finding.py gives it.
MORE = (
    """INSERT INTO holds (id, tenant_id, wallet_id, amount, captured, released, status,
                          created_at, updated_at)
    SELECT uuid, tenant_id, id, 1, 0, 0, 'open', created_at, created_at FROM wallets""",
    """INSERT INTO audit_log (id, tenant_id, actor, action, object, created_at)
    SELECT uuid, tenant_id, 'cli', 'wallet.frozen', uuid::text, created_at
    FROM wallets""",
    """INSERT INTO api_keys (id, tenant_id, name, scopes, digest, created_at)
    SELECT 'k' || id, tenant_id, 'many', '{}', sha256(uuid::text::bytea), created_at
    FROM wallets""",
    """INSERT INTO imports (id, tenant_id, format, created_at)
    SELECT uuid, tenant_id, 'csv', created_at FROM wallets""",
    """INSERT INTO wallet_rollups (wallet_id, tenant_id, last_seq, updated_at)
    SELECT id, tenant_id, 1, updated_at FROM wallets""",
)
# What is not large has a few rows here, and may be read as a whole.
LARGE = {
    *("wallets", "wallet_details", "wallet_labels", "transactions", "holds"),
    *("audit_log", "api_keys", "imports", "wallet_rollups"),
}
READS = (
    "wallets",
    "wallets?sort=name",
    "wallets?owner=everybody",
    "wallets?label=common",
    "wallets?currency=USD&status=active&min_balance=1",
    "wallets/{wallet}",
    "wallets/{wallet}/transactions",
    "wallets/{wallet}/statistics",
    "wallets/{wallet}/holds",
    "wallets/{wallet}/limits",
    "transactions",
    "transactions?operation_type=DEPOSIT&min_amount=1",
    'transactions?metadata={{"shop": 1}}',
    'transactions?metadata={{"order": "5000"}}',
    "transactions?wallet={wallet}",
    "operations/{reference}",
    "holds",
    "holds?status=open",
    "holds/{hold}",
    "operations/imports",
    "statistics",
    "audit",
    "audit?object={wallet}",
    "keys",
)


@pytest.mark.slow
def test_each_read_meets_few_rows_and_none_of_a_table_as_a_whole(
    make_app, empty_database
):
    app = make_app(database_url=empty_database)
    app.test_client_class = FlaskClient
    with app.app_context():
        flask_migrate.upgrade(directory=str(ROOT / "migrations"))
        with transaction() as connection:
            finding.build(connection, wallets=MANY)
            for statement in MORE:
                connection.execute(text(statement))
        tenant_id = tenants.create("small").id

        @app.before_request
        def be_the_small_tenant():
            g.caller = Caller(tenant_id)

        names = live_a_little(app.test_client())
        with transaction() as connection:
            connection.execute(text("ANALYZE"))
        for path in READS:
            with finding.explained() as plans:
                answer = app.test_client().get(f"/api/v1/{path.format(**names)}")
            assert answer.status_code == 200, (path, answer.text)
            assert plans, path
            assert not LARGE & set(finding.sequential_scans(plans)), path
            assert finding.rows_met(plans) <= MOST_ROWS, path


def live_a_little(client):
    """Do what a small tenant does; return what there is to look up."""
    for _ in range(FEW):
        details = {"owner": "everybody", "labels": ["common"], "name": "savings"}
        wallet = post(client, "wallets", details)["uuid"]
        reference = str(uuid.uuid4())
        move = {"operation_type": "DEPOSIT", "amount": "5.00", "metadata": {"shop": 1}}
        post(client, f"wallets/{wallet}/operation", move | {"reference_id": reference})
        hold = post(client, f"wallets/{wallet}/holds", {"amount": "1.00"})
    freezing = {"reason": "lost"}
    post(client, f"wallets/{wallet}/freeze", freezing)
    return {"wallet": wallet, "reference": reference, "hold": hold["hold"]["id"]}


def post(client, path, body):
    answer = client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code < 300, answer.text
    return answer.json
