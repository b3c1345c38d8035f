"""Sets up what is asked for; what is off costs nothing, and is not even imported."""

from collections.abc import Callable, Sequence

from flask import Flask

from wallet_app.config import Settings
from wallet_app.ledger.observer import Observer, Times
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.observing import logs, requests, traceparent
from wallet_app.observing.requests import Answer


class Several(Observer):
    """Tells several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers

    def submitted(self, unit: Unit) -> None:
        for one in self.observers:
            one.submitted(unit)

    def taken(self, operations: int, waited_s: float) -> None:
        for one in self.observers:
            one.taken(operations, waited_s)

    def posted(self, units: Sequence[Unit], times: Times) -> None:
        for one in self.observers:
            one.posted(units, times)

    def answered(self, unit: Unit, outcomes: Sequence[Outcome] | None) -> None:
        for one in self.observers:
            one.answered(unit, outcomes)


def init_app(app: Flask, settings: Settings) -> Observer:
    """Watch requests; return who is to watch the ledger.

    Before anything else that has to do with requests: what refuses some is watched too.
    """
    logs.init_app(settings)
    traceparent.pass_on_to_tasks()
    observers: list[Observer] = []
    at_begin: list[Callable[[], None]] = []
    at_end: list[Callable[[Answer], None]] = []
    if settings.tracing:
        from wallet_app.observing.tracing import Tracing  # noqa: PLC0415

        tracing = Tracing()
        app.extensions["tracing"] = tracing
        app.extensions["trace_deliveries"] = tracing.deliveries
        observers.append(tracing)
        at_begin.append(tracing.begin)
        at_end.append(tracing.end)
    if settings.metrics:
        from wallet_app.observing import metrics_page  # noqa: PLC0415

        metrics = metrics_page.init_app(app)
        observers.append(metrics)
        at_begin.append(lambda: metrics.start_sampling(app))
        at_end.append(metrics.note_request)
    if settings.request_log:
        as_json = settings.log_format == "json"
        at_end.append(requests.log_json if as_json else requests.log_text)
    if at_end:
        requests.init_app(app, at_begin=at_begin, at_end=at_end)
    if len(observers) == 1:
        return observers[0]
    return Several(observers) if observers else Observer()
