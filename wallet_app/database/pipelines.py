"""Transactions in psycopg's pipeline: several statements in one round trip."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from flask import current_app

from wallet_app.database import connections
from wallet_app.database.connections import PatientConnection
from wallet_app.database.engine import autocommitting, db
from wallet_app.database.outages import ConnectionLostError, breaks_link


@contextmanager
def pipeline(*, lock_timeout_ms: int | None = None) -> Iterator[psycopg.Connection]:
    """One transaction on psycopg's own connection, in pipeline mode.

    A statement is sent without waiting for the one before it; reading a result sends
    what is pending. Committed at the end, rolled back on any error. Raises what
    psycopg raises, or ConnectionLostError.
    """
    # BEGIN and COMMIT are statements like the others: psycopg's own take a round trip
    # each, which autocommit leaves out.
    with autocommitting(db.engine).connect() as pooled:
        connection: PatientConnection = pooled.connection.driver_connection  # type: ignore[assignment]
        limits: dict[str, bytes] = pooled.get_execution_options()["limits"]
        if lock_timeout_ms is not None:
            limits = limits | connections.limits_sql(lock_timeout=lock_timeout_ms)
        committing = False
        try:
            with connection.pipeline():
                cursor = connection.cursor()
                cursor.execute(b"BEGIN")
                for limit in limits.values():
                    cursor.execute(limit)
                yield connection
                committing = True
                commit(connection)
            connection.standbys.check()
        except psycopg.Error as error:
            # An earlier statement's error may come only now; COMMIT was skipped then.
            at_commit = committing and connection.has_answered
            if not is_sound(connection, error, at_commit=at_commit):
                pooled.invalidate(error)
                # What broke this link has probably broken those in the pool as well.
                current_app.extensions["link_lost_at"] = time.monotonic()
                raise ConnectionLostError(str(error), in_doubt=committing) from error
            raise


def commit(connection: psycopg.Connection) -> None:
    """Send COMMIT; what becomes of it, the end of the pipeline tells."""
    connection.cursor().execute(b"COMMIT")


def is_sound(
    connection: psycopg.Connection, error: psycopg.Error, *, at_commit: bool
) -> bool:
    """Roll back after an error, if the link is still there and of use."""
    if connection.closed or breaks_link(error, at_commit=at_commit):
        return False
    try:
        connection.rollback()
    except psycopg.Error:
        return False
    return True
