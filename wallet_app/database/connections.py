"""Connections that keep to bounds of their own, whatever the server and the network do.

The server's timeouts are of no use when the network swallows what it says. So no wait
for the database outlasts the request for which it is made, by more than a moment.
"""

import math
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

import psycopg
from flask import Flask
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic, StatementCompletionUnknown
from sqlalchemy import Connection, Engine, ExceptionContext, event
from sqlalchemy.engine import make_url

from wallet_app.config import Settings
from wallet_app.database.outages import breaks_link

Result = TypeVar("Result")

# Who leads others may begin to serve them at the end of his own time.
SLACK_S = 1.0
SHORTEST_WAIT_S = 0.25
CONNECT_TIMEOUT_S = 5
# psycopg gives an attempt to connect no less.
LEAST_CONNECT_TIMEOUT_S = 2
# A peer that is gone without a word is noticed also where no request waits for it.
TCP_OPTIONS: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
connect_until: ContextVar[float] = ContextVar("connect_until", default=math.inf)


def limit_requests(app: Flask, settings: Settings, database_url: str) -> None:
    """Give the database no more time than a request has."""

    whole_s = settings.deadline_ms / 1000 + SLACK_S
    # An attempt to connect ends in time, unless the deadline is shorter than any.
    attempts_s = LEAST_CONNECT_TIMEOUT_S * hosts_of(connect_options(database_url))
    connect_s = whole_s - min(attempts_s, whole_s / 2)
    app.extensions["request_times"] = (whole_s, connect_s)
    app.before_request(lambda: start_clock(app))

    @app.teardown_request
    def stop_clock(_error: BaseException | None) -> None:
        deadline.set(math.inf)
        connect_until.set(math.inf)


def start_clock(app: Flask) -> None:
    """Give the request its time; anew if it is one that lasts."""
    whole_s, connect_s = app.extensions["request_times"]
    now = time.monotonic()
    deadline.set(now + whole_s)
    connect_until.set(now + connect_s)


def hurry(seconds: float) -> None:
    """Let the rest of the request wait for the database no longer than this."""
    ends = time.monotonic() + seconds
    deadline.set(min(deadline.get(), ends))
    connect_until.set(min(connect_until.get(), ends))


def remaining_s() -> float:
    """How long the database may take now; infinite outside a request."""
    return max(SHORTEST_WAIT_S, deadline.get() - time.monotonic())


def is_late() -> bool:
    """Whether the request's time is over; never outside a request."""
    return time.monotonic() >= deadline.get()


class Standbys:
    """Whether COMMIT has waited for the synchronous standbys to the end.

    Whoever cancels that wait makes COMMIT succeed, with a warning: what has been
    committed is there, and a failover may take it back.
    """

    has_given_up = False

    def note(self, notice: Diagnostic) -> None:
        # The message is in the server's language, its SQLSTATE is any warning's.
        if notice.source_function == "SyncRepWaitForLSN":
            self.has_given_up = True

    def check(self) -> None:
        """Raise StatementCompletionUnknown (40003) after a wait that was cancelled."""
        if self.has_given_up:
            raise StatementCompletionUnknown("COMMIT may not have been replicated")


class PatientConnection(psycopg.Connection[Any]):
    """Waits for the server until the request's deadline, then gives the link up."""

    last: psycopg.Cursor[Any] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.standbys = Standbys()
        self.add_notice_handler(self.standbys.note)

    @property
    def has_answered(self) -> bool:
        """Whether the server has done the last statement that was executed here."""
        return self.last is not None and self.last.pgresult is not None

    def execute(self, *arguments: Any, **options: Any) -> psycopg.Cursor[Any]:
        self.last = super().execute(*arguments, **options)
        return self.last

    def commit(self) -> None:
        """Raises what psycopg does, and 40003 if a standby may not have it."""
        super().commit()
        self.standbys.check()

    def wait(
        self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None
    ) -> Result:
        limit = remaining_s()
        if timeout is None and limit < math.inf:
            timeout = limit
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.OperationalError as error:
            if is_late() and error.sqlstate is None:
                # What it waited for may come later: this link is of no more use.
                self.pgconn.finish()
            raise


def connect_options(database_url: str) -> dict[str, Any]:
    """What psycopg takes for a URL of SQLAlchemy's, which may name several hosts."""
    url = make_url(database_url)
    _, options = url.get_dialect()().create_connect_args(url)
    return dict(options)


def hosts_of(options: Mapping[str, Any]) -> int:
    """How many hosts psycopg tries, one after the other."""
    return str(options.get("host", "")).count(",") + 1


def connect(*arguments: Any, **options: Any) -> PatientConnection:
    """A connection of this kind, unless there is no time left to make one."""
    if time.monotonic() >= connect_until.get():
        raise psycopg.OperationalError("there is no time left to connect")
    left_s = int(min(CONNECT_TIMEOUT_S, remaining_s()) / hosts_of(options))
    timeout_s = max(LEAST_CONNECT_TIMEOUT_S, left_s)
    try:
        return PatientConnection.connect(
            *arguments, **TCP_OPTIONS | options | {"connect_timeout": timeout_s}
        )
    except psycopg.Error as error:
        # The attempt's frames would keep its socket until garbage is collected.
        traceback.clear_frames(error.__traceback__)
        raise


def make_patient(engine: Engine) -> None:
    """Let the engine make connections of this kind."""

    @event.listens_for(engine, "do_connect")
    def do_connect(
        _dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]
    ) -> PatientConnection:
        return connect(*arguments, **options)


def needs_limits(engine: Engine | Connection) -> bool:
    """Whether each transaction needs its limits: the session cannot carry them."""
    return bool(engine.get_execution_options()["limits_every_transaction"])


def part_from_useless_links(engine: Engine) -> None:
    """Let the pool replace its connections after one has shown to be of no use."""

    @event.listens_for(engine, "handle_error")
    def judge(context: ExceptionContext) -> None:
        # What fails without a statement is COMMIT.
        at_commit = context.statement is None
        if breaks_link(context.original_exception, at_commit=at_commit):
            context.is_disconnect = True


def set_limits_in_transactions(engine: Engine) -> None:
    """Begin each transaction with its limits, where the session cannot carry them."""

    @event.listens_for(engine, "begin")
    def set_limits(connection: Connection) -> None:
        if needs_limits(connection):
            for limit in connection.get_execution_options()["limits"].values():
                connection.exec_driver_sql(limit.decode())


def limits_sql(**limits: int) -> dict[str, bytes]:
    """The statements that limit the rest of a transaction, in milliseconds, by name.

    SET LOCAL, which sharded engines pass on to their nodes; set_config() they do not.
    """
    return {name: f"SET LOCAL {name} = {ms:d}".encode() for name, ms in limits.items()}
