"""Swagger UI at /docs, ReDoc at /redoc, all of it served from local files."""

from importlib.metadata import version
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, Response, send_from_directory

from wallet_app.errors import BY_CODE, NotFound
from wallet_app.http.api import API_KEY, UuidConverter, WalletApi
from wallet_app.http.fields import Amount, CurrencyCode, Moment, Money, Uuid
from wallet_app.http.scopes import Scope
from wallet_app.ledger import money

# Found without being imported: the package's own blueprint is of no use here.
SWAGGER_UI = str(files("flask_swagger_ui") / "dist")
A_DAY_S = 24 * 60 * 60

assets = Blueprint(
    "assets", __name__, static_folder="static", static_url_path="/static"
)


@assets.get("/static/swagger-ui/<path:name>")
def swagger_ui(name: str) -> Response:
    return send_from_directory(SWAGGER_UI, name, max_age=A_DAY_S)


@assets.get("/problems/<code>")
def problem_type(code: str) -> dict[str, object]:
    """What the `type` of a problem document points to."""
    family = BY_CODE.get(code)
    if family is None:
        raise NotFound(f"There is no problem {code}.")
    return {
        "code": family.code,
        "status": family.status,
        "title": family.title,
        "advice": family.advice,
    }


def create_api(app: Flask, *, keys_needed: bool) -> WalletApi:
    """The API whose blueprints describe themselves in /openapi.json."""
    app.config.update(
        API_KEYS=keys_needed,
        API_TITLE="Wallet service",
        API_VERSION=version("wallet-service"),
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_SWAGGER_UI_PATH="/docs",
        OPENAPI_SWAGGER_UI_URL="/static/swagger-ui/",
        # Its default would send the description to a validator on the internet.
        OPENAPI_SWAGGER_UI_CONFIG={"validatorUrl": None},
        OPENAPI_REDOC_PATH="/redoc",
        OPENAPI_REDOC_URL="/static/redoc/redoc.standalone.js",
        API_SPEC_OPTIONS={
            "info": {
                "description": DESCRIPTION,
                "license": {"name": "MIT License", "identifier": "MIT"},
            },
            # Wherever the description was loaded from.
            "servers": [{"url": "/"}],
        },
    )
    app.register_blueprint(assets)
    api = WalletApi(app)
    for field, kind in FIELD_TYPES.items():
        api.register_field(field, *kind)
    api.ma_plugin.converter.add_attribute_function(describe_currencies)
    api.spec.components.security_scheme(API_KEY, API_KEY_SCHEME)
    api.register_converter(UuidConverter, lambda _: UUID_IN_PATH)
    return api


def describe_currencies(_converter: Any, field: Any, **_: Any) -> dict[str, Any]:
    """The currencies that there are: known once the service is configured."""
    return {"enum": money.currencies()} if isinstance(field, CurrencyCode) else {}


FIELD_TYPES = {
    Money: ("string", "decimal"),
    Amount: ("string", "decimal"),
    Uuid: ("string", "uuid"),
    Moment: ("string", "date-time"),
}
UUID_IN_PATH = {"type": "string", "format": "uuid"}
API_KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "wk_live_...",
    "description": "An API key, where the service asks for one. Scopes:\n"
    + "".join(f"\n* `{scope}`: {scope.purpose}" for scope in Scope),
}


DESCRIPTION = """\
Wallets that hold balances and move money, exactly and durably.

* Amounts are decimal strings with the currency's digits; JSON numbers are read exactly.
* A retry is safe with a `reference_id` or an `Idempotency-Key`.
* Errors are RFC 9457 problem documents; `code` is for programs.
* Where there are limits, `RateLimit` tells what is left of each, and 429 to wait.
* Pages: pass `next_cursor` as `cursor` until `has_more` is false.
"""
