"""Where a wallet's history stands: the seq of a moment, the balance after a seq."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, bindparam, select

from wallet_app.ledger.models import Transaction

WALLET_ID = bindparam("wallet_id", type_=BigInteger)


def seq_before(moment: Any, wallet_id: Any = WALLET_ID) -> ScalarSelect[int]:
    """The seq of the wallet's last transaction before a moment; NULL if none.

    Time never goes back along seq, so a time range is a seq range.
    """
    earlier = Transaction.__table__.alias()
    return (
        select(earlier.c.seq)
        .where(earlier.c.wallet_id == wallet_id, earlier.c.created_at < moment)
        .order_by(earlier.c.created_at.desc(), earlier.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )


def balance_at_seq(seq: ColumnElement[Any] | ScalarSelect[int]) -> ScalarSelect[Any]:
    """The wallet's balance after a transaction; NULL if there is none."""
    return at_seq("balance_after", seq)


def held_at_seq(seq: ColumnElement[Any] | ScalarSelect[int]) -> ScalarSelect[Any]:
    """What of it was held after a transaction; NULL if there is none."""
    return at_seq("held_after", seq)


def at_seq(
    column: str, seq: ColumnElement[Any] | ScalarSelect[int]
) -> ScalarSelect[Any]:
    step = Transaction.__table__.alias()
    return (
        select(step.c[column])
        .where(step.c.wallet_id == WALLET_ID, step.c.seq == seq)
        .scalar_subquery()
    )
