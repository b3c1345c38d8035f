"""Watches requests: when they came, what became of them, and for whom."""

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import orjson
from flask import Flask, Response, g, request

from wallet_app.errors import request_id
from wallet_app.observing import traceparent

logger = logging.getLogger(__name__)
NO_ROUTE = "none"
TEXT = "%(method)s %(route)s %(status)d %(outcome)s %(ms).2f ms %(request_id)s"


@dataclass(slots=True)
class Answer:
    """A request that is answered; `route` is the rule, which names no wallet.

    `outcome` is "ok" or the problem's code. Of an answer that goes on for some time,
    `seconds` are those up to its beginning.
    """

    method: str
    route: str
    status: int
    outcome: str
    seconds: float
    # The uuid in a wallet's path.
    wallet: Any


def init_app(
    app: Flask,
    *,
    at_begin: Sequence[Callable[[], None]],
    at_end: Sequence[Callable[[Answer], None]],
) -> None:
    """Tell of each request when it comes and when it is answered.

    Registered before anybody else's, these functions run first and last.
    """

    def begin() -> None:
        g.began = perf_counter()
        for tell in at_begin:
            tell()

    def end(response: Response) -> Response:
        answer = answer_of(response)
        for tell in at_end:
            tell(answer)
        return response

    app.before_request(begin)
    app.after_request(end)


def answer_of(response: Response) -> Answer:
    # The objects themselves: each use of a proxy would look them up again.
    this = request._get_current_object()  # type: ignore[attr-defined]
    here = g._get_current_object()
    problem = here.get("problem")
    rule = this.url_rule
    return Answer(
        # Without a route, a client could make up as many methods as it likes.
        method=NO_ROUTE if rule is None else this.method,
        route=NO_ROUTE if rule is None else rule.rule,
        status=response.status_code,
        outcome="ok" if problem is None else problem.code,
        seconds=perf_counter() - here.began,
        wallet=this.view_args.get("uuid") if this.view_args else None,
    )


def log_text(answer: Answer) -> None:
    """A line for people."""
    logger.log(level_of(answer), TEXT, facts_of(answer))


def log_json(answer: Answer) -> None:
    """A line like those of observing/logs.py.

    Written here, because what logging does for it costs twice as much as the rest.
    """
    level = level_of(answer)
    if logger.isEnabledFor(level):
        facts = facts_of(answer)
        facts["level"] = logging.getLevelName(level)
        facts["logger"] = __name__
        facts["message"] = "request"
        facts["time"] = datetime.now(UTC)
        out = sys.stderr.buffer
        out.write(orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE))
        out.flush()


def level_of(answer: Answer) -> int:
    return logging.ERROR if answer.status >= 500 else logging.INFO


def facts_of(answer: Answer) -> dict[str, Any]:
    """No body, no query, no header: they may hold a secret."""
    facts: dict[str, Any] = {
        "request_id": request_id(),
        "method": answer.method,
        "route": answer.route,
        "status": answer.status,
        "outcome": answer.outcome,
        "ms": round(answer.seconds * 1000, 2),
    }
    if answer.wallet is not None:
        facts["wallet"] = answer.wallet
    key_id = caller_key_id()
    if key_id is not None:
        facts["key_id"] = key_id
    trace = traceparent.of_request()
    if trace is not None:
        facts["trace_id"] = trace.trace_id
    return facts


def caller_key_id() -> str | None:
    """The name of the API key that the caller has shown; never the key."""
    caller = g._get_current_object().get("caller")
    key_id = getattr(caller, "key_id", None)
    return None if key_id is None else str(key_id)
