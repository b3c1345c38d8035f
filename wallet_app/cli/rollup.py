"""`flask wallet rollup`: count new transactions now instead of waiting for Celery."""

import click
from flask.cli import with_appcontext
from tqdm import tqdm

from wallet_app.cli import output
from wallet_app.cli.parameters import json_option
from wallet_app.reporting.rollup import roll_up_batch


@click.command("rollup")
@json_option
@with_appcontext
def rollup_command(as_json: bool) -> None:
    """Count new transactions into the statistics."""
    total = 0
    after_id: int | None = 0
    # No total: how many there are is what the rollup finds out.
    with tqdm(unit=" transactions", unit_scale=True, disable=None) as bar:
        while after_id is not None:
            progress = roll_up_batch(after_id)
            total += progress.transactions
            after_id = progress.next_after_id
            bar.update(progress.transactions)
    if as_json:
        output.document({"transactions": total})
    else:
        output.text(f"{total:,} new transactions counted.")
