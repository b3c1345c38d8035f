"""A wallet's ETag: its version, and its revision once there is one, as in "42-3"."""

import re

from flask import request

from wallet_app.database import AnyRow
from wallet_app.errors import InvalidRequest

# int() refuses thousands of digits.
TAG_PATTERN = "[0-9]{1,100}(-[0-9]{1,100})?"
TAG = re.compile(TAG_PATTERN)
ETAG_HEADER = {
    "ETag": {
        "description": "The version, and the revision if there is one: for"
        " If-None-Match and If-Match",
        "schema": {"type": "string"},
        "example": '"42"',
    }
}

# Of a wallet's change; what moves money says more.
CHANGE_IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "Refuses the change if the wallet's ETag is another",
    "schema": {"type": "string"},
}


def tag_of(wallet: AnyRow) -> str:
    """The tag without its quotes; it changes with whatever the wallet shows."""
    revision = f"-{wallet.revision}" if wallet.revision else ""
    return f"{wallet.version}{revision}"


def header_of(wallet: AnyRow) -> dict[str, str]:
    """The header of an answer that shows the wallet."""
    return {"ETag": f'"{tag_of(wallet)}"'}


def is_in_if_match(wallet: AnyRow) -> bool:
    """Whether If-Match, if there is one, names the wallet as it is."""
    if "If-Match" not in request.headers:
        return True
    # Weak, because a proxy that compresses weakens the tags.
    return request.if_match.contains_weak(tag_of(wallet))


def expected() -> tuple[int | None, int | None]:
    """The version in If-Match, and the revision if it names one; None: any will do."""
    if "If-Match" not in request.headers:
        return None, None
    tags = request.if_match
    if tags.star_tag:
        return None, None
    found = list(tags)
    # An empty tag is None.
    tag = TAG.fullmatch(found[0] or "") if len(found) == 1 else None
    if tag is None:
        message = 'Give the ETag of one read of the wallet, such as If-Match: "42".'
        raise InvalidRequest(message, errors={"If-Match": [message]})
    version, _, revision = tag[0].partition("-")
    return int(version), int(revision) if revision else None
