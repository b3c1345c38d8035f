"""Limits where API keys are asked for: each key has its own, and so have strangers."""

import pytest
from flask.testing import FlaskClient

from wallet_app.access import key_text, keys
from wallet_app.http.scopes import Scope
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID


@pytest.fixture
def keyed(app, clock, make_app):
    service = make_app(
        access="keys", rate_limit="2/hour", rate_limit_strangers="3/hour"
    )
    return FlaskClient(service, service.response_class)


@pytest.fixture
def make_key(context):
    def make():
        made = keys.create(
            tenant_id=DEFAULT_TENANT_ID, name="test", scopes=[Scope.WALLETS_READ]
        )
        return made["key"]

    return make


def test_each_key_has_a_quota_of_its_own(keyed, make_key, statuses):
    one, other = make_key(), make_key()
    assert statuses(keyed, 3, key=one) == [200, 200, 429]
    assert statuses(keyed, 1, key=other) == [200]
    assert statuses(keyed, 1, key=one, address="192.0.2.2") == [429]


def test_keys_that_do_not_exist_bar_their_address_and_use_up_nobodys_quota(
    keyed, make_key, statuses
):
    unknown = key_text.new_key(key_text.new_id())
    assert statuses(keyed, 5, key=unknown) == [401, 401, 401, 401, 429]
    good = make_key()
    assert statuses(keyed, 1, key=good) == [429]
    assert statuses(keyed, 2, key=good, address="192.0.2.2") == [200, 200]
