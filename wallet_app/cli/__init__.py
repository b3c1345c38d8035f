"""The command line: `flask wallet ...`."""

from flask import Flask

from wallet_app.cli.books import audit_command
from wallet_app.cli.demo import demo_command
from wallet_app.cli.events import events_group
from wallet_app.cli.failures import WalletGroup
from wallet_app.cli.finding import list_command, transactions_command
from wallet_app.cli.holds import COMMANDS, hold_command, holds_command
from wallet_app.cli.imports import import_command
from wallet_app.cli.keys import keys_group
from wallet_app.cli.limits import limits_command, set_limits_command
from wallet_app.cli.refunds import refund_command
from wallet_app.cli.reports import rollup_command, statement_command, stats_command
from wallet_app.cli.seed import seed_command
from wallet_app.cli.smoke import smoke_command
from wallet_app.cli.status import STATUSES, status_command
from wallet_app.cli.tenants import audit_log_command, tenant_option, tenants_group
from wallet_app.cli.wallets import (
    create_command,
    history_command,
    move_command,
    set_command,
    show_command,
)
from wallet_app.cli.webhooks import webhooks_group
from wallet_app.ledger.operation_types import OF_ONE_WALLET

wallet = WalletGroup(
    "wallet",
    help="Wallets, operations, demo data, and a test of a running service.",
    params=[tenant_option],
    commands=[
        create_command,
        set_command,
        show_command,
        history_command,
        list_command,
        transactions_command,
        *map(move_command, OF_ONE_WALLET),
        *map(hold_command, COMMANDS),
        holds_command,
        refund_command,
        *map(status_command, STATUSES),
        limits_command,
        set_limits_command,
        demo_command,
        seed_command,
        rollup_command,
        import_command,
        statement_command,
        stats_command,
        audit_command,
        events_group,
        webhooks_group,
        tenants_group,
        keys_group,
        audit_log_command,
        smoke_command,
    ],
)


def init_app(app: Flask) -> None:
    """Add the commands to the `flask` command."""
    app.cli.add_command(wallet)
