"""The task that counts; it may be lost, doubled or killed: the next makes it good."""

from wallet_app.background import heartbeat, hints
from wallet_app.background.tasks import task
from wallet_app.statistics import rollup


@task()
def roll_up() -> None:
    """Count new transactions into the rollups, for a while; more of it takes a hint."""
    if rollup.roll_up_for(rollup.MAX_RUN_S):
        heartbeat.note(heartbeat.ROLLUP)
    else:
        hints.send(hints.ROLL_UP)
