"""Events: pages of the feed, as the API shows them."""

import pytest
from ops import deposit, transfer

from wallet_app.database import reading
from wallet_app.feed import events, relay
from wallet_app.ledger import posting, wallets
from wallet_app.ledger.posting import Unit
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID


@pytest.fixture
def two_wallets(context):
    """Two wallets, ten deposits into the first and three transfers, in the feed."""
    source, target = (wallets.create(currency="USD")[0] for _ in range(2))
    posting.post([Unit([deposit(source, 10) for _ in range(10)])])
    posting.post([Unit([transfer(source, target, 1) for _ in range(3)])])
    while relay.relay():
        pass
    return source, target


def pages(limit, **filters):
    after, has_more, found = 0, True, []
    with reading() as connection:
        while has_more:
            page = events.read_page(
                connection, DEFAULT_TENANT_ID, after=after, limit=limit, **filters
            )
            assert len(page.events) <= limit
            assert page.end >= after
            after, has_more = page.end, page.has_more
            found += page.events
    assert after == 18
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 18, 100])
def test_pages_of_any_size_give_every_event_once(two_wallets, limit):
    found = pages(limit)
    assert [event.position for event in found] == list(range(1, 19))
    assert [event.type for event in found[:3]] == [
        "wallet.created",
        "wallet.created",
        "transaction.posted",
    ]


def test_an_event_shows_its_object_as_the_api_does(two_wallets, client):
    source, _ = two_wallets
    found = pages(100)
    history = client.get(f"/api/v1/wallets/{source}/transactions?order=asc").json
    shown = [event.data for event in found if event.wallet_uuid == source][1:]
    assert client.application.json.dumps(shown) == client.application.json.dumps(
        history["data"]
    )
    assert found[0].data["uuid"] == source
    assert (found[0].data["balance"], found[0].data["version"]) == ("0.00", 0)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_filters_pass_over_the_rest(two_wallets, limit, monkeypatch):
    monkeypatch.setattr(events, "MOST_LOOKED_AT", 4)
    assert len(pages(limit, types=["wallet.created"])) == 2
    with reading() as connection:
        wallet_id = wallets.find(connection, DEFAULT_TENANT_ID, two_wallets[1]).id
    found = pages(limit, wallet_id=wallet_id)
    assert [event.data.get("seq") for event in found] == [None, 1, 2, 3]
    posted = pages(limit, wallet_id=wallet_id, types=["transaction.posted"])
    assert [event.data["seq"] for event in posted] == [1, 2, 3]


def test_behind_the_end_there_is_nothing(two_wallets):
    with reading() as connection:
        for after in (18, 19, 10**12):
            page = events.read_page(connection, DEFAULT_TENANT_ID, after=after, limit=5)
            assert (page.events, page.end, page.has_more) == ([], after, False)
