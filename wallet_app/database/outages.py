"""Which errors mean that the database is away, and which that a link is of no use.

The families are named here and nowhere else. They are SQLSTATEs or what those begin
with: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# The link broke, or leads to a server that ends, has ended the session, or has become
# a standby, which takes no writes (25006).
NO_USE = ("08", "25006", "25P03", "25P04", "57P")
# No room, no connection left, locks and timeouts, a disk in trouble.
NOT_NOW = ("53", "55", "57", "58")
# Conflicts with other transactions, once nobody has the patience to repeat them.
CONFLICTS = ("40",)
OUTAGES = NO_USE + NOT_NOW + CONFLICTS
# What of COMMIT's answers leaves open what became of the transaction. PostgreSQL
# means "not applied" by some of them; engines that share out their data do not.
IN_DOUBT = (*NOT_NOW, "40003", "XX")


class ConnectionLostError(Exception):
    """The link to the database is of no more use.

    `in_doubt`: COMMIT was under way, and whether it got through is unknown.
    """

    def __init__(self, message: str = "", *, in_doubt: bool = True) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


def is_outage(error: BaseException | None) -> bool:
    """Whether the database did not answer or could not: the same call may work soon."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or is_outage(error.orig)
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(OUTAGES)
    # Without a SQLSTATE it is psycopg that speaks: of no connection, or a lost one.
    return isinstance(
        error, ConnectionLostError | PoolTimeout | psycopg.OperationalError
    )


def breaks_link(error: BaseException, *, at_commit: bool) -> bool:
    """Whether the connection that met this must leave the pool."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return False
    return error.sqlstate.startswith(NO_USE + IN_DOUBT if at_commit else NO_USE)
