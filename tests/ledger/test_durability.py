"""Nobody is answered before PostgreSQL has flushed the transaction to the disk."""

import pytest
from ops import deposit

from wallet_app.database import pipelines
from wallet_app.ledger.group_commit import Bounds, GroupCommit

TIMES = 20


@pytest.fixture
def written(connect, monkeypatch):
    """How far the log was written, not yet flushed, when each COMMIT was sent."""
    commit, server = pipelines.commit, connect()
    server.autocommit = True
    places = []

    def note_and_commit(connection):
        # Send what a pipeline holds back, and wait for the answers.
        with connection.pipeline():
            pass
        places.append(wal(server, "insert"))
        commit(connection)

    monkeypatch.setattr(pipelines, "commit", note_and_commit)
    return server, places


def wal(server, kind):
    place = f"SELECT pg_current_wal_{kind}_lsn() - '0/0'::pg_lsn"
    return server.execute(place).fetchone()[0]


def test_answer_comes_after_the_flush_to_the_disk(app, context, new_wallet, request):
    wallet, group = new_wallet(), GroupCommit(Bounds())
    server, written_at = request.getfixturevalue("written")
    for _ in range(TIMES):
        group.submit(deposit(wallet, 1))
        assert wal(server, "flush") >= written_at[-1]
    assert len(written_at) == TIMES
