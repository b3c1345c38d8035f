"""Keeps the feed going; a task may be lost, doubled or killed."""

from wallet_app.background.tasks import task
from wallet_app.feed import partitions, relay


@task()
def relay_journal() -> None:
    """Move what is in the journal into the feed, for a while."""
    relay.relay_for(relay.MAX_RUN_S)


@task()
def prune_feed() -> None:
    """Drop the days whose time is over."""
    partitions.prune()
