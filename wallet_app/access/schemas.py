"""What comes in and goes out about keys, and the audit log."""

from typing import Any

import marshmallow as ma
from marshmallow.validate import Length, OneOf, Range

from wallet_app.access.keys import GRACE, LONGEST_GRACE
from wallet_app.http.fields import TEXT_PATTERN, Moment, Text, Uuid, WholeNumber
from wallet_app.http.lean import LeanSchema, Members
from wallet_app.http.pages import PageQuery
from wallet_app.http.scopes import Scope

SCOPES = [str(scope) for scope in Scope]
KEY_ID = {"example": "4fQ0Zr7LmX2s"}
NAME = Length(1, 100)


def scopes(**options: Any) -> ma.fields.Field[Any]:
    one = ma.fields.String(validate=OneOf(SCOPES))
    return ma.fields.List(one, validate=Length(1, len(SCOPES)), **options)


class NewKey(LeanSchema):
    """A key to be made."""

    name = Text(
        required=True,
        validate=NAME,
        metadata={
            "description": "Who has it, for people",
            "pattern": TEXT_PATTERN,
            "example": "shop",
        },
    )
    scopes = scopes(required=True)
    expires_at = Moment(
        load_default=None,
        allow_none=True,
        metadata={"description": "Without it, the key is good until it is revoked"},
    )


class Rotation(LeanSchema):
    """How a key gets a new secret."""

    grace_seconds = WholeNumber(
        load_default=int(GRACE.total_seconds()),
        validate=Range(0, int(LONGEST_GRACE.total_seconds())),
        metadata={"description": "How long the secret before it is good as well"},
    )


class KeyDetails(LeanSchema):
    """A key, without what makes it one."""

    id = ma.fields.String(metadata=KEY_ID)
    name = ma.fields.String(metadata={"example": "shop"})
    scopes = scopes()
    created_at = Moment()
    expires_at = Moment(allow_none=True)
    revoked_at = Moment(allow_none=True)
    last_used_at = Moment(allow_none=True, metadata={"description": "To the minute"})
    old_secret_until = Moment(
        attribute="old_digest_until",
        allow_none=True,
        metadata={"description": "Until when the secret before this one is good"},
    )


class KeyWithSecret(KeyDetails):
    """A key with its text, which is shown this once."""

    key = ma.fields.String(metadata={"description": "What to send: `wk_live_...`"})


class KeyPage(LeanSchema):
    """A page of keys."""

    data = Members(KeyDetails)
    has_more = ma.fields.Boolean()
    next_cursor = ma.fields.String(allow_none=True)


class AuditQuery(PageQuery):
    """Which entries of the audit log."""

    action = Text(
        validate=Length(1, 50),
        metadata={
            "description": "Only these acts, such as key.revoked",
            "pattern": TEXT_PATTERN,
        },
    )
    object = Text(
        validate=Length(1, 100),
        metadata={"description": "Only this object's", "pattern": TEXT_PATTERN},
    )


class AuditDetails(LeanSchema):
    """An administrative act."""

    id = Uuid()
    actor = ma.fields.String(
        metadata={"description": "The key's id; `cli`; `anybody`, where access is open"}
    )
    action = ma.fields.String(metadata={"example": "key.revoked"})
    object = ma.fields.String(metadata={"description": "The id of what was changed"})
    before = ma.fields.Dict(allow_none=True)
    after = ma.fields.Dict(allow_none=True)
    request_id = ma.fields.String(allow_none=True)
    created_at = Moment()


class AuditPage(LeanSchema):
    """A page of the audit log."""

    data = Members(AuditDetails)
    has_more = ma.fields.Boolean()
    next_cursor = ma.fields.String(allow_none=True)
