"""Every setting of the service, typed, from WALLET_* environment variables."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from environs import Env, EnvError
from limits import parse_many
from marshmallow import ValidationError
from marshmallow.validate import OneOf, Range, Regexp

# Enough for the money path and a few others.
SMALLEST_POOL = 10
# Not the service's: the key with which a command calls one, and whose a command is.
API_KEY_NAME = "WALLET_API_KEY"
TENANT_NAME = "WALLET_TENANT"
OF_COMMANDS = (API_KEY_NAME, TENANT_NAME)
MOST_PROXIES = 10
# Each may come from the file that WALLET_<NAME>_FILE names, as container secrets do.
SECRETS = ("database_url", "replica_url", "broker_url")


class ConfigurationError(RuntimeError):
    """A setting is unknown or has a value that the service cannot use."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The service's settings; each field is read from WALLET_<FIELD NAME>."""

    database_url: str | None = None
    replica_url: str | None = None
    transaction_pooling: bool = False
    broker_url: str | None = None
    currencies: str = ""
    instance_dir: Path = Path("instance")
    statements_dir: Path | None = None
    statement_days: int = 30
    import_days: int = 30
    import_max_bytes: int = 1024 * 1024 * 1024
    event_days: int = 30
    workers: int = 2
    pool_size: int = 32
    group_commit: bool = True
    queue_length: int = 50_000
    batch_size: int = 1000
    deadline_ms: int = 10_000
    lock_timeout_ms: int = 400
    statement_timeout_ms: int = 10_000
    hold_days: int = 366
    max_body_bytes: int = 1024 * 1024
    rollup_interval_seconds: int = 5
    webhooks_private: bool = False
    env: str = "development"
    access: str = "open"
    rate_limit: str = ""
    rate_limit_address: str = ""
    rate_limit_strangers: str = ""
    limits_storage: str = ""
    trusted_proxies: int = 0
    log_level: str = "INFO"
    log_format: str = "text"
    request_log: bool = False
    metrics: bool = False
    tracing: bool = False
    audit_interval_hours: int = 24
    freeze_on_mismatch: bool = False

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment; raises ConfigurationError naming the variable."""
        names = [field.name for field in fields(cls)]
        refuse_unknown_names(
            os.environ, [*names, *(f"{name}_file" for name in SECRETS)]
        )
        env = Env(prefix="WALLET_")
        positive = Range(min=1)
        try:
            return cls(
                database_url=with_driver(secret(env, "DATABASE_URL")) or None,
                replica_url=with_driver(secret(env, "REPLICA_URL")) or None,
                transaction_pooling=on_or_off(env, "TRANSACTION_POOLING", "off"),
                broker_url=secret(env, "BROKER_URL") or None,
                currencies=env.str("CURRENCIES", ""),
                instance_dir=env.path("INSTANCE_DIR", cls.instance_dir).absolute(),
                statements_dir=optional_path(env.str("STATEMENTS_DIR", "")),
                statement_days=env.int(
                    "STATEMENT_DAYS", cls.statement_days, validate=positive
                ),
                import_days=env.int("IMPORT_DAYS", cls.import_days, validate=positive),
                import_max_bytes=env.int(
                    "IMPORT_MAX_BYTES", cls.import_max_bytes, validate=positive
                ),
                event_days=env.int("EVENT_DAYS", cls.event_days, validate=positive),
                workers=env.int(
                    "WORKERS", max(2, os.cpu_count() or 2), validate=positive
                ),
                pool_size=env.int(
                    "POOL_SIZE", cls.pool_size, validate=Range(min=SMALLEST_POOL)
                ),
                group_commit=on_or_off(env, "GROUP_COMMIT", "on"),
                queue_length=env.int(
                    "QUEUE_LENGTH", cls.queue_length, validate=positive
                ),
                batch_size=env.int("BATCH_SIZE", cls.batch_size, validate=positive),
                deadline_ms=env.int("DEADLINE_MS", cls.deadline_ms, validate=positive),
                lock_timeout_ms=env.int(
                    "LOCK_TIMEOUT_MS", cls.lock_timeout_ms, validate=positive
                ),
                statement_timeout_ms=env.int(
                    "STATEMENT_TIMEOUT_MS", cls.statement_timeout_ms, validate=positive
                ),
                hold_days=env.int("HOLD_DAYS", cls.hold_days, validate=positive),
                max_body_bytes=env.int(
                    "MAX_BODY_BYTES", cls.max_body_bytes, validate=positive
                ),
                rollup_interval_seconds=env.int(
                    "ROLLUP_INTERVAL_SECONDS",
                    cls.rollup_interval_seconds,
                    validate=positive,
                ),
                webhooks_private=on_or_off(env, "WEBHOOKS_PRIVATE", "off"),
                env=env.str(
                    "ENV", cls.env, validate=OneOf(["development", "production"])
                ),
                access=env.str("ACCESS", cls.access, validate=OneOf(["open", "keys"])),
                rate_limit=env.str("RATE_LIMIT", "", validate=rate_limit),
                rate_limit_address=env.str(
                    "RATE_LIMIT_ADDRESS", "", validate=rate_limit
                ),
                rate_limit_strangers=env.str(
                    "RATE_LIMIT_STRANGERS", "", validate=rate_limit
                ),
                limits_storage=env.str(
                    "LIMITS_STORAGE",
                    "",
                    validate=Regexp(
                        "(rediss?://.+)?$", error="Give redis://host:port/number."
                    ),
                ),
                trusted_proxies=env.int(
                    "TRUSTED_PROXIES",
                    cls.trusted_proxies,
                    validate=Range(min=0, max=MOST_PROXIES),
                ),
                log_level=env.str(
                    "LOG_LEVEL",
                    cls.log_level,
                    validate=OneOf(["DEBUG", "INFO", "WARNING", "ERROR"]),
                ),
                log_format=env.str(
                    "LOG_FORMAT", cls.log_format, validate=OneOf(["text", "json"])
                ),
                request_log=on_or_off(env, "REQUEST_LOG", "off"),
                metrics=on_or_off(env, "METRICS", "off"),
                tracing=on_or_off(env, "TRACING", "off"),
                audit_interval_hours=env.int(
                    "AUDIT_INTERVAL_HOURS", cls.audit_interval_hours, validate=positive
                ),
                freeze_on_mismatch=on_or_off(env, "FREEZE_ON_MISMATCH", "off"),
            )
        except EnvError as error:
            raise ConfigurationError(str(error)) from error


def refuse_unknown_names(environment: Mapping[str, str], known: list[str]) -> None:
    """A misspelt setting would silently mean its default: name it instead."""
    names = [f"WALLET_{name.upper()}" for name in known]
    for name in environment:
        is_ours = name.startswith("WALLET_") and name not in OF_COMMANDS
        if is_ours and name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"{name} is not a setting{hint}")


def secret(env: Env, name: str) -> str:
    """A setting's value, or what the file named by its _FILE variable holds."""
    value, path = env.str(name, ""), env.str(f"{name}_FILE", "")
    if not path:
        return str(value)
    if value:
        raise ConfigurationError(f"Set WALLET_{name} or WALLET_{name}_FILE, not both")
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"WALLET_{name}_FILE: {path} cannot be read: {error}"
        ) from error


def on_or_off(env: Env, name: str, default: str) -> bool:
    return str(env.str(name, default, validate=OneOf(["on", "off"]))) == "on"


def rate_limit(text: str) -> None:
    """Refuse what is not a limit, such as "100/second;10000/hour"."""
    try:
        limits = parse_many(text) if text else []
    except ValueError:
        limits = []
    windows = {one.get_expiry() for one in limits}
    if text and (not limits or len(windows) < len(limits)):
        raise ValidationError(
            'Give a limit, or several with different times: "100/second;10000/hour".'
        )
    if any(one.amount < 1 for one in limits):
        raise ValidationError("A limit is at least 1.")


def optional_path(text: str) -> Path | None:
    return Path(text).absolute() if text else None


def with_driver(url: str) -> str:
    """A postgresql:// or postgres:// URL with psycopg 3 named as its driver.

    Several hosts, in libpq's way (a:5432,b:5432), become those of SQLAlchemy's.
    """
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + hosts_apart(url.removeprefix(scheme))
    return url


def hosts_apart(address: str) -> str:
    """As in user@/name?host=a:5432&host=b:5432, if there are several."""
    place, _, rest = address.partition("/")
    user, at, hosts = place.rpartition("@")
    name, _, query = rest.partition("?")
    # A password may hold whatever SQLAlchemy lets it.
    if "," not in hosts or "@" in name:
        return address
    options = [*(f"host={host}" for host in hosts.split(",")), query]
    return f"{user}{at}/{name}?{'&'.join(filter(None, options))}"
