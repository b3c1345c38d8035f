"""What Celery runs. A task may be lost, doubled or killed: the next one makes it good."""

from celery import shared_task

from wallet_app.reporting import broker_tables, rollup


@shared_task
def roll_up() -> None:
    """Count new transactions into the rollups."""
    rollup.roll_up()


@shared_task
def prune_broker() -> None:
    """Delete the messages that the PostgreSQL broker has delivered."""
    broker_tables.prune()
