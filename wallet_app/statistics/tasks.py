"""The task that counts; it may be lost, doubled or killed: the next makes it good."""

from wallet_app.background import heartbeat, hints
from wallet_app.background.tasks import task
from wallet_app.statistics import rollup


@task()
def roll_up(after_id: int = 0) -> None:
    """Count new transactions into the rollups, for a while; more of it takes a hint."""
    next_after_id = rollup.roll_up_for(rollup.MAX_RUN_S, after_id)
    if next_after_id is None:
        heartbeat.note(heartbeat.ROLLUP)
    else:
        hints.send(hints.ROLL_UP, next_after_id)
