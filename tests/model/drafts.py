"""What the model test draws: operations in outline, before there are wallets."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.model.accounts import SIGNS
from wallet_app.ledger.operation_types import ASKED_FOR

NOBODY = -1
NOBODYS_UUID = "00000000-0000-4000-8000-00000000dead"


@dataclass(frozen=True)
class Draft:
    """An operation; wallets are places in the list of wallets, modulo its length.

    One that acts on a hold or is a refund has in `wallet` the hold's or the original's
    place, the newest first. `takes_all` leaves the amount out where that may be.
    `key_in` is where its key goes: "body", "header", "both" or "nowhere".
    """

    kind: str
    wallet: int
    target: int
    amount: str
    description: str | None
    metadata: dict[str, Any] | None
    key_in: str
    if_match: int | None = None
    takes_all: bool = False
    final: bool = False
    days: int | None = None
    expects: str | None = None


@dataclass(frozen=True)
class Moment:
    """A moment of a wallet's history: that of an entry, or a little beside it."""

    place: int
    shift_us: int


def amount_text(whole: int, decimals: str) -> str:
    return f"{whole}.{decimals}" if decimals else str(whole)


places = st.integers(0, 7)
wallets = st.one_of(places, places, places, places, st.just(NOBODY))
amounts = st.one_of(
    st.builds(
        amount_text,
        st.integers(1, 300),
        st.one_of(
            st.just(""),
            st.integers(0, 99).map("{:02}".format),
            # Too many for some currencies, and for none.
            st.text("0123456789", min_size=1, max_size=3),
        ),
    ),
    st.sampled_from(["0.01", "0.5", "0.001", "999999999999999999"]),
)
descriptions = st.one_of(
    st.none(),
    st.sampled_from(["", "rent", "=1+1", 'März, "€ 5"\nsecond line', " @home"]),
)
metadata = st.one_of(
    st.none(),
    st.none(),
    st.sampled_from([{}, {"order": "7"}, {"order": "8"}, {"lines": [1, {"sku": "x"}]}]),
)
owners = st.sampled_from([None, "ann", "bob"])
labels = st.lists(st.sampled_from(["vip", "eu", "new"]), max_size=3, unique=True)
# Whatever names its wallets by itself, and whatever clients may ask for.
PLAIN = st.sampled_from(["DEPOSIT", "DEPOSIT", "WITHDRAW", "TRANSFER"])
KINDS = PLAIN | st.sampled_from(["HOLD", "CAPTURE", *map(str, ASKED_FOR)])


def drafts(
    kinds: st.SearchStrategy[str] = KINDS,
    key_in: tuple[str, ...] = ("body", "header", "both", "nowhere"),
    **fields: st.SearchStrategy[Any],
) -> st.SearchStrategy[Draft]:
    return st.builds(
        Draft,
        kind=kinds,
        wallet=wallets,
        target=wallets,
        amount=amounts,
        description=descriptions,
        metadata=metadata,
        key_in=st.sampled_from(key_in),
        takes_all=st.booleans(),
        final=st.booleans(),
        # Not so near that a hold expires while the machine runs.
        days=st.none() | st.integers(1, 9),
        expects=st.sampled_from([None, None, None, "0"]),
        **fields,
    )


# What If-Match says: nothing, the version of the wallet, or one that is not.
if_match = st.one_of(st.none(), st.none(), st.none(), st.sampled_from([0, 1]))


alone = st.lists(drafts(if_match=if_match), min_size=1, max_size=3)
members = st.lists(drafts(key_in=("body", "nowhere")), min_size=2, max_size=6)
moments = st.builds(
    Moment, place=places, shift_us=st.sampled_from([0, 0, 1, -1, -86_400_000_000])
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "operation_type": st.sampled_from(list(SIGNS)),
        "from": moments,
        "to": moments,
        "min_amount": amounts,
        "max_amount": amounts,
    },
)
