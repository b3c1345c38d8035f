"""`flask wallet rollup`, `statement`, `stats`: reports without waiting for Celery."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

import click
from flask.cli import with_appcontext
from tqdm import tqdm

from wallet_app.background import heartbeat
from wallet_app.cli import output
from wallet_app.cli.parameters import FieldType, json_option
from wallet_app.http.caller import caller
from wallet_app.http.fields import Moment, Uuid
from wallet_app.ledger import money
from wallet_app.statements import files, lifecycle, writer
from wallet_app.statements.schemas import FORMATS
from wallet_app.statistics import rebuild, rollup, service_statistics, summaries
from wallet_app.statistics.schemas import ServiceStatistics
from wallet_app.statistics.summaries import UTC_ZONE

MOMENT = FieldType("time", Moment())


@click.command("rollup")
@click.option(
    "--rebuild",
    "afresh",
    is_flag=True,
    help="Then count everything afresh, compare, and repair what differs.",
)
@json_option
@with_appcontext
def rollup_command(afresh: bool, as_json: bool) -> None:
    """Count new transactions into the statistics.

    With --rebuild the exit code is 1 if a rollup differed from the ledger.
    """
    result: dict[str, int] = {"transactions": count_new()}
    if afresh:
        result |= check_all()
    if as_json:
        output.document(result)
    else:
        output.text(f"{result['transactions']:,} new transactions counted.")
        if afresh:
            output.text(f"{result['checked']:,} transactions counted afresh.")
    if any(count for name, count in result.items() if name.endswith("_repaired")):
        raise click.ClickException(
            f"{result['wallets_repaired']} wallets, and of the service "
            f"{result['days_repaired']} days and {result['currencies_repaired']} "
            "currencies differed from the ledger; they are repaired."
        )
    if afresh and not as_json:
        output.text("The rollups equal the ledger.")


def count_new() -> int:
    total = 0
    # No total: how many there are is what the rollup finds out.
    with tqdm(unit=" transactions", unit_scale=True, disable=None) as bar:
        for progress in rollup.batches(pause_ratio=0):
            total += progress.transactions
            bar.update(progress.transactions)
    heartbeat.note(heartbeat.ROLLUP)
    return total


def check_all() -> dict[str, int]:
    checked = wallets = 0
    with tqdm(
        total=rebuild.transactions_to_check(),
        unit=" transactions",
        unit_scale=True,
        disable=None,
    ) as bar:
        for batch in rebuild.rebuild():
            checked += batch.transactions
            wallets += len(batch.differing)
            bar.update(batch.transactions)
    return {
        "checked": checked,
        "wallets_repaired": wallets,
        "days_repaired": rebuild.rebuild_service_days(),
        "currencies_repaired": rebuild.rebuild_currencies(),
    }


@click.command("statement")
@click.argument("wallet_uuid", metavar="UUID", type=FieldType("uuid", Uuid()))
@click.option("--from", "from_at", type=MOMENT, required=True, help="Inclusive.")
@click.option("--to", "to_at", type=MOMENT, required=True, help="Exclusive, past.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    default="csv",
    show_default=True,
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    required=True,
    help="The file to write.",
)
@with_appcontext
def statement_command(
    wallet_uuid: UUID, from_at: datetime, to_at: datetime, file_format: str, out: Path
) -> None:
    """Write a wallet's statement to a file, here and now."""
    wallet = caller().tenant_id, wallet_uuid
    pinned = lifecycle.pin_down(
        wallet, from_at=from_at, to_at=to_at, file_format=file_format
    )
    digest = write_with_progress(pinned, out)
    output.text(f"{pinned.last_seq - pinned.after_seq:,} entries in {out}")
    output.text(f"sha256 {digest}")


def write_with_progress(pinned: lifecycle.Pinned, out: Path) -> str:
    rows = pinned.last_seq - pinned.after_seq
    with tqdm(total=rows, unit=" entries", unit_scale=True, disable=None) as bar:

        def note_progress(done: int) -> None:
            bar.update(done - bar.n)

        content = writer.content_of(pinned, note_progress)
        with files.writing(out.absolute()) as file:
            writer.WRITERS[pinned.format](content, file)
    return file.sha256


@click.command("stats")
@json_option
@with_appcontext
def stats_command(as_json: bool) -> None:
    """Show the statistics of the whole service, and of today (UTC)."""
    today = summaries.today(UTC_ZONE)
    with service_statistics.snapshot() as connection:
        figures = service_statistics.read_service_statistics(
            connection, caller().tenant_id, first_day=today, last_day=today
        )
    if as_json:
        output.document(ServiceStatistics().dump(figures))
        return
    rows = []
    for one in figures["currencies"]:
        currency = one["currency"]
        for operation in one["operations"]:
            total = money.to_text(operation["total"], currency)
            name = operation["operation_type"]
            rows.append((currency, name, f"{operation['count']:,}", total))
        balance = money.to_text(one["total_balance"], currency)
        rows.append((currency, "balance", f"{one['wallets']:,} wallets", balance))
    numbers = ("count", "total")
    output.table(("currency", "what", "count", "total"), rows, right=numbers)
    seen = heartbeat.read()
    output.text(f"{seen.workers} workers at work; last rollup {seen.last_rollup_at}")
