"""An application whose requests name their tenant in a header, as tests may."""

import uuid
from collections.abc import Callable

import pytest
from flask import Flask, g, request
from flask.testing import FlaskClient
from sqlalchemy import insert

from wallet_app.database import transaction
from wallet_app.http.caller import Caller
from wallet_app.ledger.tenants import Tenant

HEADER = "X-Test-Tenant"


@pytest.fixture
def tenants_app(app: Flask, make_app: Callable[..., Flask]) -> Flask:
    made = make_app()

    @made.before_request
    def believe_the_header() -> None:
        if HEADER in request.headers:
            g.caller = Caller(tenant_id=int(request.headers[HEADER]))

    return made


@pytest.fixture
def new_tenant(tenants_app: Flask) -> Callable[[], FlaskClient]:
    """Make a tenant; return a client that acts for it, with its `tenant_id`."""

    def make() -> FlaskClient:
        with tenants_app.app_context(), transaction() as connection:
            adding = insert(Tenant).values(name=str(uuid.uuid4())).returning(Tenant.id)
            tenant_id = connection.scalar(adding)
        client = tenants_app.test_client()
        client.environ_base["HTTP_X_TEST_TENANT"] = str(tenant_id)
        client.tenant_id = tenant_id
        return client

    return make
