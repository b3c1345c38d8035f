"""The task that checks the books; it may be lost, doubled or killed."""

from wallet_app.background.tasks import task
from wallet_app.books import sweeping

RUN_S = 5.0


@task()
def sweep() -> None:
    """Go on with the sweep for a while."""
    sweeping.sweep_for(RUN_S)
