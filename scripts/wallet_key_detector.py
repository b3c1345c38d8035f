"""Finds this service's own API keys, for detect-secrets (`make scan-secrets`)."""

import re
from typing import ClassVar

from detect_secrets.plugins.base import RegexBasedDetector


class WalletKeyDetector(RegexBasedDetector):
    """The prefix is for scanners; what follows it holds 32 random bytes."""

    secret_type = "Wallet API key"  # noqa: S105  # pragma: allowlist secret
    denylist: ClassVar[list[re.Pattern[str]]] = [
        re.compile("wk_live_[A-Za-z0-9_-]{43,}")
    ]
