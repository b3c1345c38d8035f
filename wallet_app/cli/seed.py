"""`flask wallet seed`: many wallets with realistic histories."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from random import Random, SystemRandom
from typing import Never, TypeVar

import click
from flask.cli import with_appcontext
from tqdm import tqdm

from wallet_app.cli import generation, output
from wallet_app.http.caller import caller
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Outcome, Unit
from wallet_app.ledger.rules import Operation, Refusal
from wallet_app.ledger.wallets import ImportedWallet

MAX_WALLETS = 100_000
MAX_OPERATIONS = 10_000_000
MAX_DAYS = 3650
BATCH_SIZE = 1000

T = TypeVar("T")


@click.command("seed")
@click.option(
    "--wallets",
    "wallet_count",
    type=click.IntRange(1, MAX_WALLETS),
    default=100,
    show_default=True,
    help="How many wallets to create.",
)
@click.option(
    "--operations",
    "operation_count",
    type=click.IntRange(0, MAX_OPERATIONS),
    default=10_000,
    show_default=True,
    help="How many operations to post, over all of them.",
)
@click.option(
    "--days",
    type=click.IntRange(1, MAX_DAYS),
    default=90,
    show_default=True,
    help="Over how many days, up to last midnight (UTC), they spread.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Reproduces the data; a second run with it adds nothing.",
)
@with_appcontext
def seed_command(
    wallet_count: int, operation_count: int, days: int, seed: int | None
) -> None:
    """Create wallets with realistic histories."""
    if seed is None:
        seed = SystemRandom().randrange(2**32)
    # The counts too: another number of wallets is another history altogether.
    rng = Random(f"{seed} {wallet_count} {operation_count} {days}")  # noqa: S311
    start, end = generation.full_days(days, datetime.now(UTC))
    began = time.monotonic()
    new_wallets = generation.wallets(rng, count=wallet_count, start=start, end=end)
    created = create_wallets(new_wallets)
    # Said before the long part, so that an interrupted run can be taken up again.
    output.text(f"The same data again: --seed {seed}")
    times = generation.moments(rng, count=operation_count, start=start, days=days)
    operations = generation.Economy(rng, new_wallets).operations(times)
    tally = post_operations(operations, total=operation_count)
    report(created, tally, seconds=time.monotonic() - began)


def create_wallets(new_wallets: list[ImportedWallet]) -> int:
    """Create the wallets; return how many of them are new."""
    created = 0
    with progress(len(new_wallets), "wallet") as bar:
        for chunk in chunks(new_wallets):
            created += wallets.create_many(chunk, tenant_id=caller().tenant_id)
            bar.update(len(chunk))
    return created


def post_operations(operations: Iterable[Operation], *, total: int) -> Counter[str]:
    """Post the operations in batches; return how often each outcome came about."""
    tally: Counter[str] = Counter()
    with progress(total, "operation") as bar:
        for chunk in chunks(operations):
            outcomes = posting.post([Unit(chunk)])[0]
            for outcome in outcomes:
                tally.update(count(outcome))
            bar.update(len(chunk))
    return tally


def count(outcome: Outcome) -> dict[str, int]:
    if isinstance(outcome, Refusal):
        return {"refused": 1}
    if outcome.replayed:
        return {"replayed": 1}
    return {"posted": 1, "rows": len(outcome.entries)}


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Bounded lists of the items, in order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, BATCH_SIZE)):
        yield chunk


def progress(total: int, unit: str) -> "tqdm[Never]":
    """A progress bar on stderr, if that is a terminal."""
    return tqdm(total=total, unit=f" {unit}s", unit_scale=True, disable=None)


def report(created: int, tally: Counter[str], *, seconds: float) -> None:
    rate = (created + tally["rows"]) / seconds
    output.text(
        f"{created:,} wallets created, {tally['posted']:,} operations posted as "
        f"{tally['rows']:,} transactions in {seconds:.1f} s ({rate:,.0f} rows/s)."
    )
    if tally["replayed"]:
        output.text(f"{tally['replayed']:,} operations were there already.")
    if tally["refused"]:
        output.text(f"{tally['refused']:,} operations were refused.")
