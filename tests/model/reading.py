"""The rest of the machine: reads, reports, and what must be true after every step."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition
from sqlalchemy import text

from tests import books, recount
from tests.model import drafts, reports
from tests.model.accounts import REFUNDABLE, Wallet
from tests.model.drafts import NOBODY, Moment
from tests.model.machine import PLACES, MoneyMachine, step
from tests.model.teller import API, expect
from wallet_app.database import reading
from wallet_app.statements.tasks import write_statement
from wallet_app.statistics import rollup, tasks

STORED = text(
    "SELECT uuid::text, balance, held, version, status FROM wallets ORDER BY id"
)
PAGE_SIZES = st.sampled_from([1, 2, 3, 7, 50, 100])
ZONES = st.sampled_from(["UTC", "UTC", "Asia/Kolkata", "America/New_York"])
FORMATS = st.sampled_from(["csv", "json"])
WALLETS = drafts.places


@dataclass(frozen=True)
class Statement:
    """What was asked for, and the seqs that were pinned down when it was."""

    wallet: str
    body: dict[str, str]
    id: str
    after_seq: int
    last_seq: int


class WalletMachine(MoneyMachine):
    """Every request and every report of the service, against the model."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.statements: list[Statement] = []
        self.rollups = 0
        # The state of each wallet when it was last read as a whole.
        self.looked_at: dict[str, tuple[int, int]] = {}
        self.ways_to_page = itertools.cycle([(100, "asc"), (2, "desc"), (3, "asc")])

    def at(self, wallet: Wallet, moment: Moment) -> datetime:
        """A moment near an entry of the history, or near the wallet's creation."""
        known = [wallet.created_at, *(one.created_at for one in wallet.history)]
        chosen = datetime.fromisoformat(known[moment.place % len(known)])
        shifted = chosen + timedelta(microseconds=moment.shift_us)
        return min(shifted, datetime.now(UTC))

    def pages(self, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """All rows of a list; each page but the last one is full."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.teller.get(path, limit=limit, **query)
            rows += page["data"]
            expect(page["has_more"], page["next_cursor"] is not None)
            if not page["has_more"]:
                expect(len(page["data"]) <= limit, True)
                return rows
            expect(len(page["data"]), limit)
            expect(page["next_cursor"] == query.get("cursor"), False)
            query["cursor"] = page["next_cursor"]

    # Wallets and histories

    @step(place=drafts.wallets, version=st.sampled_from([None, 0, 1]))
    def read_wallet(self, place: int, version: int | None) -> None:
        """`version` goes into If-None-Match, as so much above the wallet's own."""
        path = f"/wallets/{self.uuid_at(place)}"
        if place == NOBODY:
            for rest in ("", "/balance", "/transactions", "/statistics"):
                answer = self.teller.call("GET", path + rest)
                expect(answer.get_json()["code"], "wallet_not_found")
            return
        wallet = self.wallet(place)
        headers = {}
        if version is not None:
            headers["If-None-Match"] = wallet.tag(version)
        answer = self.teller.call("GET", path, headers=headers)
        expect(answer.headers["ETag"], wallet.tag())
        expect(answer.status_code, 304 if version == 0 else 200)
        if version != 0:
            expect(answer.get_json(), wallet.shown())
        names = ("uuid", "balance", "held", "available", "currency")
        balance = self.teller.get(path + "/balance")
        expect(balance, {name: wallet.shown()[name] for name in names})

    @step(limit=PAGE_SIZES)
    def list_wallets(self, limit: int) -> None:
        wallets = self.bank().wallets.values()
        newest = sorted(wallets, key=lambda one: (one.created_at, one.uuid))[::-1]
        newest_first = [one.shown() for one in newest]
        expect(self.pages("/wallets", limit), newest_first)

    @step(limit=PAGE_SIZES, owner=drafts.owners, label=drafts.labels)
    def find_wallets(self, limit: int, owner: str | None, label: list[str]) -> None:
        query = {"owner": owner} if owner else {}
        query |= {"label": label[0]} if label else {}
        found = [
            one.shown()
            for one in self.bank().wallets.values()
            if owner in (None, one.owner) and set(label[:1]) <= set(one.labels)
        ]
        found.sort(key=lambda one: (one["created_at"], one["uuid"]), reverse=True)
        expect(self.pages("/wallets", limit, **query), found)

    @step(limit=PAGE_SIZES, order=st.sampled_from(["7", "8", "9"]))
    def find_by_metadata(self, limit: int, order: str) -> None:
        entries = [
            entry.shown()
            for wallet in self.bank().wallets.values()
            for entry in wallet.history
            if (entry.metadata or {}).get("order") == order
        ]
        entries.sort(key=lambda one: (one["created_at"], one["id"]), reverse=True)
        expect(self.pages("/transactions", limit, metadata=f"order={order}"), entries)

    @step(
        place=WALLETS,
        limit=PAGE_SIZES,
        order=st.sampled_from(["asc", "desc"]),
        drawn=drafts.filters,
    )
    def page_through_history(
        self, place: int, limit: int, order: str, drawn: dict[str, Any]
    ) -> None:
        wallet = self.wallet(place)
        filters = {
            name: reports.text_of(self.at(wallet, value))
            if isinstance(value, Moment)
            else value
            for name, value in drawn.items()
        }
        path = f"/wallets/{wallet.uuid}/transactions"
        rows = self.pages(path, limit, order=order, **filters)
        expect(rows, reports.history(wallet, order=order, filters=filters))

    @precondition(lambda self: self.sent)
    @step(place=PLACES)
    def look_up(self, place: int) -> None:
        key = self.sent[place % len(self.sent)].operations[0].key
        reference = self.bank().references.get(key, key)
        if not isinstance(reference, str):
            return
        answer = self.teller.call("GET", f"/operations/{reference}")
        receipt = self.bank().receipts.get(key)
        if receipt is None:
            expect(answer.get_json()["code"], "operation_not_found")
            return
        kind, parent = receipt.operation.kind, receipt.operation.parent
        refunds = self.bank().refunds(reference)
        refunded = receipt.entries[0].wallet.text(sum(one.amount for one in refunds))
        expect(
            answer.get_json(),
            {
                "reference_id": reference,
                "operation_type": kind,
                "refunded": refunded if kind in REFUNDABLE else None,
                "refunds": [one.reference for one in reversed(refunds)],
                "refund_of": parent if kind == "REFUND" else None,
                "transactions": [entry.shown() for entry in receipt.entries],
            },
        )

    @step(place=WALLETS, limit=PAGE_SIZES)
    def list_holds(self, place: int, limit: int) -> None:
        wallet = self.wallet(place)
        holds = [one.shown() for one in self.bank().holds if one.wallet is wallet]
        holds.sort(key=lambda one: (one["created_at"], one["id"]), reverse=True)
        expect(self.pages(f"/wallets/{wallet.uuid}/holds", limit), holds)
        for hold in holds[:1]:
            expect(self.teller.get(f"/holds/{hold['id']}"), hold)

    # Reports

    @step(rows_a_batch=st.sampled_from([1, 3, 10_000]), batches=st.integers(1, 9))
    def roll_up(self, rows_a_batch: int, batches: int) -> None:
        """What Celery does: the whole task, or a few batches before it is stopped."""
        self.rollups += 1
        usual = rollup.ROWS_A_BATCH
        rollup.ROWS_A_BATCH = rows_a_batch
        try:
            with self.in_app():
                if batches == 9:
                    tasks.roll_up()
                else:
                    for _, _ in zip(
                        rollup.batches(pause_ratio=0), range(batches), strict=False
                    ):
                        pass
        finally:
            rollup.ROWS_A_BATCH = usual

    @step(
        place=WALLETS,
        granularity=st.sampled_from(["day", "week", "month"]),
        zone=ZONES,
        days_ago=st.integers(-3, 80),
        days=st.integers(0, 60),
    )
    def summarize(
        self, place: int, granularity: str, zone: str, days_ago: int, days: int
    ) -> None:
        wallet = self.wallet(place)
        first = datetime.now(UTC).date() - timedelta(days_ago)
        last = first + timedelta(days)
        query = {"granularity": granularity, "from": first.isoformat()}
        told = self.teller.get(
            f"/wallets/{wallet.uuid}/summaries", **query, to=last.isoformat(), tz=zone
        )
        expected = reports.summaries(wallet, granularity, first, last, ZoneInfo(zone))
        expect(told["data"], expected)

    @step(place=WALLETS, moment=drafts.moments)
    def read_balance_at(self, place: int, moment: Moment) -> None:
        wallet = self.wallet(place)
        at = reports.text_of(self.at(wallet, moment))
        told = self.teller.get(f"/wallets/{wallet.uuid}/balance", at=at)
        balance, held = reports.funds_at(wallet, at)
        names = ("balance", "held", "available")
        expect([told[name] for name in names], [balance, held, None])

    @step(place=WALLETS, first=drafts.moments, last=drafts.moments, form=FORMATS)
    def ask_for_statement(
        self, place: int, first: Moment, last: Moment, form: str
    ) -> None:
        wallet = self.wallet(place)
        body = {
            "from": reports.text_of(self.at(wallet, first)),
            "to": reports.text_of(self.at(wallet, last)),
            "format": form,
        }
        path = f"/wallets/{wallet.uuid}/statements"
        answer = self.teller.call("POST", path, json=body)
        if body["from"] >= body["to"]:
            expect(answer.get_json()["code"], "validation_failed")
            return
        expect(answer.status_code, 202)
        seqs = [reports.seq_before(wallet, body[end]) for end in ("from", "to")]
        found = Statement(wallet.uuid, body, answer.get_json()["id"], *seqs)
        earlier = [one for one in self.statements if one.id == found.id]
        expect(
            [(one.wallet, one.body) for one in earlier],
            [(wallet.uuid, body)][: len(earlier)],
        )
        if not earlier:
            self.statements.append(found)
            with self.in_app():
                write_statement(found.id)
        self.check_statement(*(earlier or [found]))

    @precondition(lambda self: self.statements)
    @step(place=PLACES)
    def ask_for_statement_again(self, place: int) -> None:
        """The same file, whatever was imported into its period since."""
        statement = self.statements[place % len(self.statements)]
        path = f"/wallets/{statement.wallet}/statements"
        answer = self.teller.call("POST", path, json=statement.body)
        expect(answer.get_json()["id"], statement.id)
        self.check_statement(statement)

    def check_statement(self, statement: Statement) -> None:
        wallet = self.bank().wallets[statement.wallet]
        told = self.teller.get(f"/statements/{statement.id}")
        entries = wallet.history[statement.after_seq : statement.last_seq]
        opening = sum(one.moved for one in wallet.history[: statement.after_seq])
        closing = opening + sum(one.moved for one in entries)
        figures = {
            "opening_balance": wallet.text(opening),
            "closing_balance": wallet.text(closing),
            "rows": len(entries),
            "state": "ready",
        }
        expect({name: told[name] for name in figures}, figures)
        file = self.teller.call("GET", told["file"].removeprefix(API))
        rows = [entry.shown() for entry in entries]
        if statement.body["format"] == "csv":
            expect(reports.csv_rows(file.text), [reports.as_csv(row) for row in rows])
        else:
            names = (*reports.NOT_IN_FILES, "currency")
            listed = [{k: v for k, v in row.items() if k not in names} for row in rows]
            expect(reports.json_rows(file.text), listed)

    # After every step

    @invariant()
    def the_books_balance(self) -> None:
        """Chains, sums and gaps in the tables themselves; what was rolled up, too."""
        with self.in_app():
            books.check()
            with reading() as connection:
                expect(recount.differences(connection), {})
                stored = connection.execute(STORED).all()
        expect(
            [tuple(row) for row in stored],
            [
                (
                    one.uuid,
                    Decimal(one.text(one.balance)),
                    Decimal(one.text(one.held)),
                    one.version,
                    one.status,
                )
                for one in self.bank().wallets.values()
            ],
        )

    @invariant()
    def every_history_and_statistic_is_what_it_should_be(self) -> None:
        """Of the wallets that may have changed, and of the others in turn."""
        known = self.bank().wallets
        in_turn = sum(self.teller.answers.values()) % max(1, len(known))
        for place, wallet in enumerate(known.values()):
            state = (wallet.version, self.rollups)
            if self.looked_at.get(wallet.uuid) != state or place == in_turn:
                self.looked_at[wallet.uuid] = state
                self.look_at(wallet)

    def look_at(self, wallet: Wallet) -> None:
        told = self.teller.get(f"/wallets/{wallet.uuid}/statistics")
        rolled_up_to = told.pop("rolled_up_to_seq")
        expect(0 <= rolled_up_to <= wallet.version, True)
        expect(told, reports.statistics(wallet))
        limit, order = next(self.ways_to_page)
        path = f"/wallets/{wallet.uuid}/transactions"
        rows = self.pages(path, limit, order=order)
        expect(rows, reports.history(wallet, order=order))

    @invariant()
    def the_service_holds_what_was_deposited_less_what_was_withdrawn(self) -> None:
        last = datetime.now(UTC).date()
        first = last - timedelta(80)
        days = {"from": first.isoformat(), "to": last.isoformat()}
        told = self.teller.get("/statistics", **days)
        expect(told, reports.service_statistics(self.bank(), first, last))
