"""Signatures as https://www.standardwebhooks.com has them."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook as Signer

SECRET_BYTES = 32


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(
    body: str, *, delivery_id: str, now: datetime, keys: Sequence[str]
) -> dict[str, str]:
    """The three headers; `keys` are the secrets that are valid now."""
    signatures = [Signer(key).sign(delivery_id, now, body) for key in keys]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
