"""Keys and the audit log over HTTP; each caller sees its own tenant's."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from wallet_app.access import audit, keys
from wallet_app.access.key_text import ID_LENGTH, is_id
from wallet_app.access.schemas import (
    AuditPage,
    AuditQuery,
    KeyDetails,
    KeyPage,
    KeyWithSecret,
    NewKey,
    Rotation,
)
from wallet_app.database import AnyRow, reading
from wallet_app.errors import (
    AccessIsOpen,
    InvalidRequest,
    KeyNotActive,
    KeyNotFound,
    TooManyKeys,
    Unavailable,
)
from wallet_app.http.api import BODY_PROBLEMS, LOCATION, WalletBlueprint
from wallet_app.http.caller import caller
from wallet_app.http.fields import Moment, Uuid, moment_text
from wallet_app.http.pages import PageQuery, decode_position, page_of
from wallet_app.http.scopes import Scope

blp = WalletBlueprint(
    "access",
    __name__,
    url_prefix="/api/v1",
    description="API keys, and who has changed what",
)
ITS_CALLS = {
    name: {"operationId": name, "parameters": {"key_id": "$response.body#/id"}}
    for name in ("get_key", "rotate_key", "revoke_key")
}
THE_KEY = f"/keys/<string(length={ID_LENGTH}):key_id>"


def refuse_while_open() -> None:
    """A key that a stranger makes would be good when others are not let in any more."""
    if caller().key_id is None:
        raise AccessIsOpen


@blp.route("/keys", methods=["POST"], scope=Scope.ADMIN)
@blp.arguments(NewKey, example={"name": "shop", "scopes": ["wallets:read"]})
@blp.doc(responses={201: {"links": ITS_CALLS}})
@blp.problems(*BODY_PROBLEMS, AccessIsOpen, TooManyKeys)
@blp.response(201, KeyWithSecret, headers=LOCATION)
def create_key(body: dict[str, Any]) -> Any:
    """Make a key

    For your own tenant, with scopes that your own key has. The key is shown in this
    answer only.
    """
    refuse_while_open()
    made = keys.create(tenant_id=caller().tenant_id, **body)
    return made, 201, {"Location": f"{blp.url_prefix}/keys/{made['id']}"}


@blp.route("/keys", scope=Scope.ADMIN)
@blp.arguments(PageQuery, location="query")
@blp.problems(InvalidRequest, Unavailable)
@blp.response(200, KeyPage)
def list_keys(query: dict[str, Any]) -> Any:
    """List your tenant's keys, newest first"""
    before = decode_position(query["cursor"], "keys", read_key_place)
    limit = query["limit"]
    with reading() as connection:
        rows = keys.list_page(
            connection, caller().tenant_id, limit=limit + 1, before=before
        )
    return page_of(rows, limit, lambda row: ("keys", place_of(row)))


@blp.route(THE_KEY, scope=Scope.ADMIN)
@blp.problems(KeyNotFound, InvalidRequest, Unavailable)
@blp.response(200, KeyDetails)
def get_key(key_id: str) -> Any:
    """Read what is known of a key"""
    with reading() as connection:
        return keys.find(connection, key_id, tenant_id=caller().tenant_id)


@blp.route(f"{THE_KEY}/rotate", methods=["POST"], scope=Scope.ADMIN)
@blp.arguments(Rotation, example={"grace_seconds": 3600})
@blp.problems(*BODY_PROBLEMS, AccessIsOpen, KeyNotFound, KeyNotActive)
@blp.response(200, KeyWithSecret)
def rotate_key(body: dict[str, Any], key_id: str) -> Any:
    """Give a key a new secret

    For `grace_seconds` the one before it is good as well. The key is shown in this
    answer only.
    """
    refuse_while_open()
    grace = timedelta(seconds=body["grace_seconds"])
    return keys.rotate(key_id, tenant_id=caller().tenant_id, grace=grace)


@blp.route(f"{THE_KEY}/revoke", methods=["POST"], scope=Scope.ADMIN)
@blp.problems(KeyNotFound, InvalidRequest, Unavailable)
@blp.response(200, KeyDetails)
def revoke_key(key_id: str) -> Any:
    """Revoke a key

    No request that is sent five seconds later, or after that, succeeds with it.
    """
    return keys.revoke(key_id, tenant_id=caller().tenant_id)


@blp.route("/audit", scope=Scope.ADMIN)
@blp.arguments(AuditQuery, location="query")
@blp.problems(InvalidRequest, Unavailable)
@blp.response(200, AuditPage)
def list_audit(query: dict[str, Any]) -> Any:
    """List administrative acts in your tenant, newest first

    Filters combine; they match whole values.
    """
    limit = query.pop("limit")
    before = decode_position(query.pop("cursor"), "audit", read_entry_place)
    with reading() as connection:
        rows = audit.list_page(
            connection,
            caller().tenant_id,
            limit=limit + 1,
            before=before,
            filters=query,
        )
    return page_of(rows, limit, lambda row: ("audit", place_of(row)))


def place_of(row: AnyRow) -> list[str]:
    """A row's place in its list, for a cursor."""
    return [moment_text(row.created_at), str(row.id)]


def read_key_place(place: Any) -> tuple[datetime, str]:
    created_at, key_id = place
    if not is_id(key_id):
        raise ValueError("not a key's id")
    return Moment().deserialize(created_at), key_id


def read_entry_place(place: Any) -> tuple[datetime, UUID]:
    created_at, entry_id = place
    return Moment().deserialize(created_at), Uuid().deserialize(entry_id)
