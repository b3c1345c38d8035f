"""The whole service against a model of it in plain Python."""

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.reading import WalletMachine

# A look at every kind of request; `make proof-model` takes a longer one.
QUICK = settings(max_examples=15, stateful_step_count=30, deadline=None)


def test_the_service_does_what_its_model_does(app):
    run_state_machine_as_test(lambda: WalletMachine(app), settings=QUICK)
