"""Watches the books: is each wallet what its history adds up to?"""

from datetime import timedelta

from flask import Flask

from wallet_app.config import Settings


def init_app(app: Flask, settings: Settings) -> None:
    app.extensions["audit_interval"] = timedelta(hours=settings.audit_interval_hours)
    app.extensions["freeze_on_mismatch"] = settings.freeze_on_mismatch
