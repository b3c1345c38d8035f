"""`flask wallet audit`: every wallet's history is added up again, here and now."""

import click
from flask.cli import with_appcontext
from tqdm import tqdm

from wallet_app.books import sweeping
from wallet_app.books.checking import Mismatch
from wallet_app.cli import output
from wallet_app.cli.parameters import json_option


@click.command("audit")
@json_option
@with_appcontext
def audit_command(as_json: bool) -> None:
    """Check every wallet against its history, and each transfer's two entries.

    The exit code is 1 if something does not agree.
    """
    wallets = entries = 0
    mismatches: list[Mismatch] = []
    # No total: how many there are is what the check finds out.
    with tqdm(unit=" entries", unit_scale=True, disable=None) as bar:
        for step in sweeping.check_all():
            wallets += step.wallets
            entries += step.entries
            mismatches += step.mismatches
            bar.update(step.entries)
    if as_json:
        output.document(
            {
                "wallets": wallets,
                "entries": entries,
                "mismatches": [
                    {
                        "wallet_uuid": one.wallet_uuid,
                        "kind": one.kind,
                        "detail": one.detail,
                    }
                    for one in mismatches
                ],
            }
        )
    else:
        output.text(f"{wallets:,} wallets with {entries:,} entries checked.")
    if mismatches:
        differ = len({one.wallet_uuid for one in mismatches})
        raise click.ClickException(
            f"{differ} wallets do not agree with their history; the log names them."
        )
    if not as_json:
        output.text("The books are sound.")
