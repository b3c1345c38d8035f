"""Codes get longer while the service works, whatever it has prepared by then."""

from pathlib import Path

import flask_migrate

from wallet_app.ledger import money

API = "/api/v1"
MIGRATIONS = str(Path(__file__).parents[2] / "migrations")


def work(client, wallet):
    """Each kind of read and write, as often as it takes to be prepared."""
    for _ in range(12):
        body = {"operation_type": "DEPOSIT", "amount": "1"}
        path = f"{API}/wallets/{wallet}"
        assert client.post(f"{path}/operation", json=body).status_code == 200
        for rest in ("", "/balance", "/transactions", "/statistics", "/summaries"):
            assert client.get(path + rest).status_code == 200, rest
        for name in ("wallets", "transactions", "statistics", "wallets?currency=USD"):
            assert client.get(f"{API}/{name}").status_code == 200, name


def test_prepared_statements_survive_longer_codes(make_app, empty_database):
    app = make_app(database_url=empty_database, currencies="LOYALTYPOINT:0")
    with app.app_context():
        flask_migrate.upgrade(directory=MIGRATIONS, revision="0015")
    client = app.test_client()
    wallet = client.post(f"{API}/wallets", json={}).get_json()["uuid"]
    work(client, wallet)
    with make_app(database_url=empty_database).app_context():
        flask_migrate.upgrade(directory=MIGRATIONS)
    money.configure({"LOYALTYPOINT": 0})
    work(client, wallet)
    body = {"currency": "LOYALTYPOINT"}
    work(client, client.post(f"{API}/wallets", json=body).get_json()["uuid"])
    money.configure({})
