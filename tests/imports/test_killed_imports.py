"""A worker that is killed in the middle of an import: each row once, and told of."""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import text

from wallet_app.database import reading, transaction
from wallet_app.imports import receiving, worker
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID

ROOT = Path(__file__).parent.parent.parent
ROWS = 20_000
POST = """
import sys, uuid
from wsgi import app
from wallet_app.imports import worker
with app.app_context():
    worker.run(uuid.UUID(sys.argv[1]), seconds=600)
"""


def applied(import_id):
    with reading() as connection:
        return connection.scalar(
            text("SELECT applied FROM imports WHERE id = :id"), {"id": import_id}
        )


def kill_midway(import_id, environment, rows):
    """Post in a process of its own, killed once so many rows are there."""
    process = subprocess.Popen(
        [sys.executable, "-c", POST, str(import_id)],
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    try:
        deadline = time.monotonic() + 60
        while applied(import_id) < rows:
            assert process.poll() is None, "it has ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_killed_twice_each_row_is_posted_once(
    context, make_wallet, database_environment
):
    wallets = [make_wallet() for _ in range(20)]
    lines = [
        json.dumps(
            {
                "operation_type": "DEPOSIT",
                "wallet": str(wallets[n % 20]),
                "amount": f"{n // 20 + 1}.00",
            }
        )
        for n in range(ROWS)
    ]
    row = receiving.receive(
        DEFAULT_TENANT_ID, "ndjson", ["\n".join(lines).encode()], uuid.uuid4()
    )
    for rows in (1, ROWS // 2):
        kill_midway(row.id, database_environment, rows)
        with transaction() as connection:
            connection.execute(text("UPDATE imports SET leased_until = now()"))
    assert worker.run(row.id, seconds=60)
    with reading() as connection:
        counted = connection.execute(
            text("SELECT applied, replayed, refused FROM imports")
        ).one()
        steps = connection.execute(
            text("SELECT seq, amount FROM transactions ORDER BY wallet_id, seq")
        ).all()
        told = connection.scalars(
            text("SELECT data FROM import_outcomes ORDER BY first_line")
        ).all()
    assert tuple(counted) == (ROWS, 0, 0)
    assert [(seq, amount) for seq, amount in steps] == [
        (n, n) for _ in wallets for n in range(1, ROWS // 20 + 1)
    ]
    numbers = [line.split(b",")[0] for line in b"".join(told).splitlines()]
    assert list(map(int, numbers)) == list(range(1, ROWS + 1))
