"""What the database gives up for another transaction's sake is made again."""

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from wallet_app.database import conflicts
from wallet_app.database.conflicts import repeated


@pytest.fixture
def trouble(monkeypatch):
    """Work that fails so often with an error of the database."""
    monkeypatch.setattr(conflicts, "PAUSE_S", 0)

    def make(error, times):
        calls = []

        @repeated
        def work(result):
            calls.append(result)
            if len(calls) <= times:
                raise OperationalError("SELECT", {}, error("trouble"))
            return result

        return work, calls

    return make


@pytest.mark.parametrize(
    "error", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected]
)
def test_conflict_is_repeated_until_the_work_is_done(trouble, error):
    work, calls = trouble(error, 3)
    assert work("done") == "done"
    assert calls == ["done"] * 4


def test_endless_conflict_is_told_in_the_end(trouble):
    work, calls = trouble(psycopg.errors.SerializationFailure, 1000)
    with pytest.raises(OperationalError):
        work("never")
    assert len(calls) == conflicts.MAX_ATTEMPTS


def test_other_trouble_is_not_repeated(trouble):
    work, calls = trouble(psycopg.errors.QueryCanceled, 1)
    with pytest.raises(OperationalError):
        work("once")
    assert calls == ["once"]
