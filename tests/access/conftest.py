"""A service that asks for keys."""

import pytest

from wallet_app.access import keys
from wallet_app.http.scopes import Scope
from wallet_app.ledger.tenants import DEFAULT_TENANT_ID


@pytest.fixture
def keyed(app, make_app):
    """The application with WALLET_ACCESS=keys; `app` sees to the database."""
    return make_app(access="keys")


@pytest.fixture
def door(keyed):
    """A client of the service that asks for keys."""
    return keyed.test_client()


@pytest.fixture
def make_key(app):
    """Make a key with some scopes, all without any; return what `keys.create` does."""

    def make(*scopes, tenant_id=DEFAULT_TENANT_ID, name="test", **fields):
        with app.app_context():
            return keys.create(
                tenant_id=tenant_id, name=name, scopes=scopes or list(Scope), **fields
            )

    return make


@pytest.fixture
def bearer():
    """The header that shows a key."""
    return lambda key: {"Authorization": f"Bearer {key}"}
