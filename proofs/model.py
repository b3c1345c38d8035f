"""Random requests of every kind, one after another, against a model of the service."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import flask_migrate
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from proofs.evidence import Evidence, arguments
from proofs.service import ROOT
from tests.documented_client import DocumentedClient
from tests.model import machine
from tests.model.reading import WalletMachine
from wallet_app import create_app
from wallet_app.config import Settings
from wallet_app.database import db
from wallet_app.standalone import embedded

EXPECTED_ANSWERS = {
    "200",
    "201",
    "202",
    "304",
    "404 wallet_not_found",
    "404 hold_not_found",
    "404 operation_not_found",
    "409 balance_limit_exceeded",
    "409 exceeds_hold",
    "409 exceeds_refundable",
    "409 hold_already_captured",
    "409 hold_already_voided",
    "409 insufficient_funds",
    "409 limit_exceeded",
    "409 not_an_extension",
    "409 not_refundable",
    "409 refunded_changed",
    "409 wallet_closed",
    "409 wallet_exists",
    "409 wallet_not_active",
    "409 wallet_not_empty",
    "409 wallet_overdrawn",
    "412 precondition_failed",
    "422 currency_mismatch",
    "422 idempotency_key_reused",
    "422 invalid_amount",
    "422 same_wallet",
    "422 validation_failed",
}


@contextlib.contextmanager
def application() -> Iterator[Flask]:
    """The application on an empty database; both are gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="wallet-model-") as name,
        embedded.start(Path(name) / "pg") as server,
    ):
        app = create_app(
            Settings(
                database_url=server.url, instance_dir=Path(name), log_level="ERROR"
            )
        )
        app.test_client_class = DocumentedClient
        with app.app_context():
            flask_migrate.upgrade(directory=str(ROOT / "migrations"))
        yield app
        with app.app_context():
            db.engine.dispose()


def main() -> int:
    options = arguments(__doc__, examples=300, steps=60)
    evidence = Evidence("Model: the service and a bank in plain Python")
    profile = settings(
        max_examples=options.examples,
        stateful_step_count=options.steps,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    began = time.monotonic()
    failure: Exception | None = None
    with application() as app:
        try:
            run_state_machine_as_test(lambda: WalletMachine(app), settings=profile)
        except Exception as error:
            failure = error
    evidence.figure("sequences of requests", machine.SEQUENCES["done"])
    evidence.figure("minutes", f"{(time.monotonic() - began) / 60:.1f}")
    for name, count in sorted(machine.STEPS.items()):
        evidence.figure(f"  step: {name}", count)
    for name, count in sorted(machine.ANSWERS.items()):
        evidence.figure(f"  answer: {name}", count)
    evidence.figure("steps", machine.STEPS.total())
    evidence.figure("answers compared", machine.ANSWERS.total())
    judge(evidence, failure)
    return evidence.conclude()


def judge(evidence: Evidence, failure: Exception | None) -> None:
    if failure is not None:
        print(f"{type(failure).__name__}: {failure}")
        print("\n".join(getattr(failure, "__notes__", [])))
    evidence.check("each answer was what the model says", failure is None)
    evidence.check(
        "after each step the books balanced and each report was exact", failure is None
    )
    unseen = EXPECTED_ANSWERS - machine.ANSWERS.keys()
    evidence.check_none("each kind of answer was seen", sorted(unseen))


if __name__ == "__main__":
    sys.exit(main())
