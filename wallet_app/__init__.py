"""The wallet service."""

from datetime import timedelta

from flask import Flask

from wallet_app import access, books, cli, database, errors, health, production
from wallet_app.access.routes import blp as access_routes
from wallet_app.background import celery_app
from wallet_app.balances.group_read import GroupRead
from wallet_app.balances.routes import blp as balances
from wallet_app.config import Settings
from wallet_app.events.following import Followers
from wallet_app.events.routes import blp as events
from wallet_app.finding.routes import blp as finding
from wallet_app.holds.routes import blp as holds
from wallet_app.http import addresses, docs, headers
from wallet_app.http.api import UuidConverter
from wallet_app.http.application import WalletApp
from wallet_app.http.json_provider import ExactJsonProvider
from wallet_app.imports.routes import blp as imports
from wallet_app.ledger import currencies
from wallet_app.ledger.group_commit import Bounds, GroupCommit
from wallet_app.limits import Limits
from wallet_app.observing import wiring as observing
from wallet_app.operations.routes import blp as operations
from wallet_app.refunds.routes import blp as refunds
from wallet_app.standalone import embedded
from wallet_app.statements import files as statement_files
from wallet_app.statements.routes import blp as statements
from wallet_app.statistics.routes import blp as statistics
from wallet_app.status.routes import blp as status
from wallet_app.wallet_limits.routes import blp as wallet_limits
from wallet_app.webhooks import registry as webhook_registry
from wallet_app.webhooks.routes import blp as webhooks


def create_app(settings: Settings | None = None) -> Flask:
    """The application, bound to its database and ready to serve."""
    settings = settings or Settings.from_environment()
    production.refuse_unsafe(settings)
    currencies.configure(settings)
    database_url = settings.database_url or embedded.url(settings.instance_dir / "pg")

    app = WalletApp(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["HOLD_DAYS"] = settings.hold_days
    app.config["IMPORT_MAX_BYTES"] = settings.import_max_bytes
    app.json = ExactJsonProvider(app)
    app.url_map.converters["uuid"] = UuidConverter

    observer = observing.init_app(app, settings)
    errors.init_app(app)
    headers.init_app(app)
    addresses.init_app(app, settings)
    database.init_app(app, settings, database_url)
    app.extensions["limits"] = limits = Limits(settings)
    limits.limit_addresses(app)
    app.extensions["ledger"] = GroupCommit(
        Bounds(
            queue_length=settings.queue_length,
            batch_size=settings.batch_size,
            deadline_ms=settings.deadline_ms,
        ),
        enabled=settings.group_commit,
        observer=observer,
    )
    app.extensions["wallet_reader"] = GroupRead(deadline_ms=settings.deadline_ms)
    celery_app.init_app(app, settings, database_url)
    books.init_app(app, settings)
    statement_files.init_app(app, settings)
    app.extensions["imports_keep"] = timedelta(days=settings.import_days)
    app.extensions["followers"] = Followers()
    app.extensions["events_keep"] = timedelta(days=settings.event_days)
    webhook_registry.init_app(app, settings)
    cli.init_app(app)

    api = docs.create_api(app, keys_needed=settings.access == "keys")
    features = (
        balances,
        finding,
        status,
        wallet_limits,
        operations,
        imports,
        holds,
        refunds,
    )
    reports = (events, statistics, statements, webhooks)
    for blueprint in (*features, *reports, access_routes, health.blp):
        api.register_blueprint(blueprint)
    # Before each request: its address, whose key it is, what is left to that key.
    access.init_app(app, settings)
    limits.limit_callers(app)
    return app
