"""`flask wallet demo`: a few wallets with a history, for the first start."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from random import Random
from typing import Any
from uuid import UUID, uuid5

import click
from flask.cli import with_appcontext
from sqlalchemy import Row

from wallet_app.cli import generation, output
from wallet_app.database import reading
from wallet_app.http.caller import caller
from wallet_app.http.schemas import DEMO_UUID
from wallet_app.ledger import money, posting, wallets
from wallet_app.ledger.limit_rules import Period
from wallet_app.ledger.operation_types import OperationType
from wallet_app.ledger.posting import Receipt, Unit
from wallet_app.ledger.rules import Operation
from wallet_app.ledger.wallets import ImportedWallet
from wallet_app.status import changing
from wallet_app.wallet_limits.changing import replace_limits

DEMO_WALLET = UUID(DEMO_UUID)
CURRENCIES = ("USD", "USD", "EUR", "JPY", "KWD")
# Owner, name and labels of each.
DETAILS = (
    ("ann", "Everyday", ["demo", "main"]),
    ("bob", "Everyday", ["demo", "main"]),
    ("ann", "Journeys", ["demo"]),
    ("ann", "Tokyo", ["demo"]),
    ("bob", "Kuwait", ["demo"]),
)
DAYS = 30
OPERATIONS = 250
# What the demo wallet does: days ago, type, amount, description.
STORY = (
    (29, OperationType.DEPOSIT, "2500.00", "Salary"),
    (28, OperationType.WITHDRAW, "950.00", "Rent"),
    (25, OperationType.WITHDRAW, "64.35", "Groceries"),
    (21, OperationType.WITHDRAW, "4.80", "Coffee"),
    (18, OperationType.TRANSFER, "25.00", "Dinner, my half"),
    (12, OperationType.DEPOSIT, "100.00", "Top-up by card"),
    (7, OperationType.WITHDRAW, "39.99", "Online order"),
    (2, OperationType.WITHDRAW, "60.00", "Cash machine"),
)
# What of it came back since, and what is promised to somebody still.
REFUNDED, REFUND, REASON = "Online order", Decimal("12.50"), "One part came broken"
HELD, HOLD_FOR = Decimal("120.00"), "Hotel, until check-out"
# Of the others, which is not to spend much a day, and which is not to spend at all.
DAILY_AMOUNT, LIMITED = Decimal("250.00"), 2
FROZEN, FROZEN_FOR = 4, "A card was lost"


@click.command("demo")
@with_appcontext
def demo_command() -> None:
    """Add a few wallets with a history, once.

    One of them holds money for somebody, one has a limit, one is frozen. Wallets that
    have a history, of whatever kind, are left alone.
    """
    start, end = generation.full_days(DAYS, datetime.now(UTC))
    demo_wallets = imported_wallets(created_at=start - timedelta(days=1))
    created = wallets.create_many(demo_wallets, tenant_id=caller().tenant_id)
    if created:
        describe(demo_wallets)
    posted = 0
    if are_untouched(demo_wallets):
        operations = demo_operations(demo_wallets, start=start, end=end)
        # One transaction: a start that is interrupted leaves no half of a history.
        outcomes = posting.post([Unit(operations)])[0]
        posted = sum(isinstance(one, Receipt) and not one.replayed for one in outcomes)
        restrict(demo_wallets)
    if created or posted:
        output.text(f"Demo data: {created} wallets, {posted} operations added.")
    else:
        output.text("Demo data: nothing to add, it is there already.")
    show_wallets(demo_wallets)


def imported_wallets(created_at: datetime) -> list[ImportedWallet]:
    """The demo wallet and the others, with the same uuids at every run."""
    uuids = [
        DEMO_WALLET,
        *(uuid5(DEMO_WALLET, f"wallet {n}") for n in range(1, len(CURRENCIES))),
    ]
    return [
        ImportedWallet(uuid=uuid, currency=currency, created_at=created_at)
        for uuid, currency in zip(uuids, CURRENCIES, strict=True)
    ]


def describe(demo_wallets: list[ImportedWallet]) -> None:
    """Say whose the wallets are; what somebody has said of them already stays."""
    for wallet, (owner, name, labels) in zip(
        stored(demo_wallets), DETAILS, strict=True
    ):
        if wallet.labels is None:
            wallets.change(
                tenant_id=caller().tenant_id,
                uuid=wallet.uuid,
                changes={"owner": owner, "name": name, "labels": labels},
            )


def are_untouched(demo_wallets: list[ImportedWallet]) -> bool:
    """Whether all of them are as they were created: the demo is for a new database."""
    return all(
        row.version == 0 and row.currency == wallet.currency
        for row, wallet in zip(stored(demo_wallets), demo_wallets, strict=True)
    )


def stored(demo_wallets: list[ImportedWallet]) -> list[Row[Any]]:
    """The wallets as the database has them."""
    with reading() as connection:
        return [
            wallets.find(connection, caller().tenant_id, wallet.uuid)
            for wallet in demo_wallets
        ]


def demo_operations(
    demo_wallets: list[ImportedWallet], *, start: datetime, end: datetime
) -> list[Operation]:
    """The story of the demo wallet and what the others do, in order of time."""
    rng = Random(DEMO_UUID)  # noqa: S311
    times = generation.moments(rng, count=OPERATIONS, start=start, days=DAYS)
    others = generation.Economy(rng, demo_wallets[1:]).operations(times)
    operations = [*story(demo_wallets[1].uuid, end), *others]
    operations.sort(key=attrgetter("occurred_at"))
    operations = [
        # The same at every run, so that two runs at the same time add it once.
        replace(operation, reference_id=uuid5(DEMO_WALLET, f"operation {index}"))
        for index, operation in enumerate(operations)
    ]
    return [*operations, refund_in(operations, end), hold(end)]


def restrict(demo_wallets: list[ImportedWallet]) -> None:
    replace_limits(
        tenant_id=caller().tenant_id,
        uuid=demo_wallets[LIMITED].uuid,
        wanted={
            "minimum_balance": None,
            "maximum_balance": None,
            "largest_operation": None,
            "velocity": {Period.DAY: {"max_count": None, "max_amount": DAILY_AMOUNT}},
        },
    )
    changing.change(
        tenant_id=caller().tenant_id,
        uuid=demo_wallets[FROZEN].uuid,
        status=changing.FROZEN,
        blocks="out",
        reason=FROZEN_FOR,
    )


def move(operation_type: OperationType, **fields: Any) -> Operation:
    """What the demo wallet does."""
    return Operation(
        tenant_id=caller().tenant_id,
        operation_type=operation_type,
        wallet_uuid=DEMO_WALLET,
        **fields,
    )


def hold(end: datetime) -> Operation:
    return move(
        OperationType.HOLD,
        amount=HELD,
        description=HOLD_FOR,
        reference_id=uuid5(DEMO_WALLET, "hold"),
        occurred_at=end - timedelta(hours=6),
    )


def refund_in(operations: list[Operation], end: datetime) -> Operation:
    """A refund of part of what the demo wallet has done, after all of it."""
    [original] = [
        one
        for one in operations
        if (one.wallet_uuid, one.description) == (DEMO_WALLET, REFUNDED)
    ]
    return move(
        OperationType.REFUND,
        amount=REFUND,
        description=REASON,
        reference_id=uuid5(DEMO_WALLET, "refund"),
        parent_reference_id=original.reference_id,
        occurred_at=end - timedelta(hours=12),
    )


def story(friend: UUID, end: datetime) -> list[Operation]:
    """All that it does before; its transfers go to the friend."""
    return [
        move(
            operation_type,
            target_uuid=friend if operation_type is OperationType.TRANSFER else None,
            amount=Decimal(amount),
            description=description,
            reference_id=DEMO_WALLET,
            occurred_at=end - timedelta(days=days_ago, hours=-12),
        )
        for days_ago, operation_type, amount, description in STORY
    ]


def show_wallets(demo_wallets: list[ImportedWallet]) -> None:
    output.table(
        ("wallet", "balance", "available", "currency", "status", "operations"),
        [
            (
                str(row.uuid),
                money.to_text(row.balance, row.currency),
                money.to_text(row.available, row.currency),
                row.currency,
                row.status,
                str(row.version),
            )
            for row in stored(demo_wallets)
        ],
        right=("balance", "available", "operations"),
    )
