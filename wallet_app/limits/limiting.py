"""Refuses a request that is one too many, before anything is done for it."""

import time
from collections.abc import Sequence

from flask import Flask, Response, g, request

from wallet_app.config import Settings
from wallet_app.errors import RateLimited
from wallet_app.http.addresses import address_of
from wallet_app.http.caller import caller
from wallet_app.http.headers import MONEY, note
from wallet_app.limits import counters, policies
from wallet_app.limits.barred import Barred
from wallet_app.limits.policies import Policy, Use


class Limits:
    """The limits of an application; one that is not set adds nothing to a request.

    Flask calls what comes before a request in the order in which it was told of it: so
    `limit_addresses` is called before whatever asks for a key, `limit_callers` after.
    """

    def __init__(self, settings: Settings) -> None:
        self.counters = counters.make(settings.limits_storage)
        self.of_address = policies.parse("address", settings.rate_limit_address)
        self.of_strangers = policies.parse("stranger", settings.rate_limit_strangers)
        self.of_caller = policies.parse("key", settings.rate_limit)
        self.barred = Barred()
        every = (*self.of_address, *self.of_strangers, *self.of_caller)
        self.policy_header = ", ".join(policy.header for policy in every)

    def limit_addresses(self, app: Flask) -> None:
        """What one address may ask for, with any key or with none."""
        if self.policy_header:
            app.after_request(self.finish)
        if self.of_address or self.of_strangers:
            app.before_request(self.check_address)

    def limit_callers(self, app: Flask) -> None:
        """What one key may ask for."""
        if self.of_caller:
            app.before_request(self.check_caller)

    def check_address(self) -> None:
        # The request itself: each use of the proxy would look it up again.
        this = request._get_current_object()  # type: ignore[attr-defined]
        if this.path.startswith(MONEY):
            address = address_of(this)
            refuse(self.barred.use_of(address))
            refuse(self.count(self.of_address, address))

    def check_caller(self) -> None:
        this = request._get_current_object()  # type: ignore[attr-defined]
        if this.path.startswith(MONEY):
            # Where no key is asked, an address is all that is known of a caller.
            refuse(self.count(self.of_caller, caller().key_id or address_of(this)))

    def count(self, limits: Sequence[Policy], who: str) -> Use | None:
        """Count a request; return the first use that is beyond its quota."""
        now = time.time()
        uses: list[Use] = g._get_current_object().setdefault("rate_limit_uses", [])
        for policy in limits:
            window, ends_in_s = policy.window(now)
            left = policy.quota - self.counters.add(policy, who, window)
            use = Use(policy, left, ends_in_s)
            uses.append(use)
            if left < 0:
                return use
        return None

    def finish(self, response: Response) -> Response:
        """Count a stranger; say what is left."""
        this = request._get_current_object()  # type: ignore[attr-defined]
        if this.path.startswith(MONEY):
            if response.status_code == 401 and self.of_strangers:
                address = address_of(this)
                self.barred.note(address, self.count(self.of_strangers, address))
            note(this, ("RateLimit-Policy", self.policy_header))
            if uses := g.get("rate_limit_uses"):
                left = ", ".join([use.header() for use in uses])
                note(this, ("RateLimit", left))
        return response


def refuse(use: Use | None) -> None:
    """Raise RateLimited for a use that is beyond its quota."""
    if use is not None:
        raise RateLimited(retry_after_s=use.ends_in_s, policy=use.policy.name)
