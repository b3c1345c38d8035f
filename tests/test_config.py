"""Settings from the environment: typed, and never silently wrong."""

from dataclasses import fields
from pathlib import Path

import pytest

from wallet_app.config import SECRETS, ConfigurationError, Settings, with_driver


@pytest.fixture
def environment(monkeypatch):
    """Set WALLET_ variables, and no others; return the settings."""
    for field in fields(Settings):
        monkeypatch.delenv(f"WALLET_{field.name.upper()}", raising=False)
    for name in SECRETS:
        monkeypatch.delenv(f"WALLET_{name.upper()}_FILE", raising=False)

    def read(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(f"WALLET_{name}", value)
        return Settings.from_environment()

    return read


def test_nothing_has_to_be_set(environment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = environment()
    assert settings.database_url is None
    assert settings.broker_url is None
    assert settings.group_commit
    assert settings.workers >= 2
    assert settings.instance_dir == tmp_path / "instance"
    changed = {"workers", "instance_dir"}
    for field in fields(Settings):
        if field.name not in changed:
            assert getattr(settings, field.name) == field.default


def test_every_setting_is_read_from_its_variable(environment):
    texts = {
        "replica_url": "postgresql+psycopg://u:p@r/d",
        "database_url": "postgresql+psycopg://u:p@h/d",
        "broker_url": "redis://h/1",
        "currencies": "POINTS:0,BTC:8",
        "instance_dir": "/tmp/i",
        "statements_dir": "/tmp/s",
        "group_commit": "off",
        "transaction_pooling": "on",
        "webhooks_private": "on",
        "env": "production",
        "access": "keys",
        "rate_limit": "100/second;5000/hour",
        "rate_limit_address": "1 per 5 minute",
        "rate_limit_strangers": "10/minute",
        "limits_storage": "redis://h:1/2",
        "trusted_proxies": "2",
        "log_level": "ERROR",
        "log_format": "json",
        "request_log": "on",
        "metrics": "on",
        "tracing": "on",
        "freeze_on_mismatch": "on",
    }
    values = {
        "instance_dir": Path("/tmp/i"),
        "statements_dir": Path("/tmp/s"),
        "group_commit": False,
        "transaction_pooling": True,
        "webhooks_private": True,
        "request_log": True,
        "metrics": True,
        "tracing": True,
        "freeze_on_mismatch": True,
        "trusted_proxies": 2,
    }
    for number, field in enumerate(fields(Settings), start=11):
        text = texts.get(field.name, str(number))
        expected = values.get(field.name, texts.get(field.name, number))
        settings = environment(**{field.name.upper(): text})
        assert getattr(settings, field.name) == expected, field.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "0"),
        ("WORKERS", "two"),
        ("POOL_SIZE", "9"),
        ("POOL_SIZE", "32.5"),
        ("QUEUE_LENGTH", "0"),
        ("BATCH_SIZE", "x"),
        ("DEADLINE_MS", "0"),
        ("LOCK_TIMEOUT_MS", "1s"),
        ("STATEMENT_TIMEOUT_MS", "0"),
        ("MAX_BODY_BYTES", "1MB"),
        ("ROLLUP_INTERVAL_SECONDS", "0"),
        ("GROUP_COMMIT", "maybe"),
        ("TRANSACTION_POOLING", "1"),
        ("ENV", "test"),
        ("ACCESS", "none"),
        ("RATE_LIMIT", "many"),
        ("RATE_LIMIT", "0/second"),
        ("RATE_LIMIT", "10/second;20/second"),
        ("RATE_LIMIT_ADDRESS", "10"),
        ("RATE_LIMIT_STRANGERS", "10/fortnight"),
        ("LIMITS_STORAGE", "memcached://h"),
        ("TRUSTED_PROXIES", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("REQUEST_LOG", "yes"),
        ("AUDIT_INTERVAL_HOURS", "0"),
    ],
)
def test_value_that_cannot_be_used_names_its_variable(environment, name, value):
    with pytest.raises(ConfigurationError, match=f"WALLET_{name}"):
        environment(**{name: value})


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("DATABASE_URI", "WALLET_DATABASE_URL"),
        ("POOLSIZE", "WALLET_POOL_SIZE"),
        ("GROUPCOMMIT", "WALLET_GROUP_COMMIT"),
    ],
)
def test_misspelt_variable_is_refused_with_a_hint(environment, wrong, meant):
    with pytest.raises(ConfigurationError) as refusal:
        environment(**{wrong: "1"})
    assert f"WALLET_{wrong}" in str(refusal.value)
    assert f"did you mean {meant}?" in str(refusal.value)


def test_unheard_of_variable_is_refused_without_a_hint(environment):
    with pytest.raises(ConfigurationError) as refusal:
        environment(ZZZZZZZZ="1")
    assert "WALLET_ZZZZZZZZ is not a setting" in str(refusal.value)
    assert "did you mean" not in str(refusal.value)


def test_other_programs_variables_are_left_alone(environment, monkeypatch):
    monkeypatch.setenv("MYWALLET_X", "1")
    monkeypatch.setenv("wallet_x", "1")
    assert environment().pool_size == Settings.pool_size


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h:1/d", "postgresql+psycopg://u:p@h:1/d"),
        ("postgres://u:p@h:1/d", "postgresql+psycopg://u:p@h:1/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        (
            "postgres://u:p@a:1,b:2/d?target_session_attrs=read-write",
            "postgresql+psycopg://u:p@/d"
            "?host=a:1&host=b:2&target_session_attrs=read-write",
        ),
        ("postgresql://a,b/d", "postgresql+psycopg:///d?host=a&host=b"),
        ("postgresql://u:p,/@h:1/d", "postgresql+psycopg://u:p,/@h:1/d"),
        ("", ""),
    ],
)
def test_plain_database_url_means_psycopg_3(given, used):
    assert with_driver(given) == used


def test_empty_variables_count_as_unset(environment):
    settings = environment(DATABASE_URL="", BROKER_URL="", STATEMENTS_DIR="")
    assert settings.database_url is None
    assert settings.broker_url is None
    assert settings.statements_dir is None


@pytest.mark.parametrize("name", SECRETS)
def test_secret_is_read_from_a_file(environment, tmp_path, name):
    path = tmp_path / "secret"
    path.write_text("redis://:pass@h/1\n")
    settings = environment(**{f"{name.upper()}_FILE": str(path)})
    assert getattr(settings, name) == "redis://:pass@h/1"


def test_database_url_from_a_file_means_psycopg_3(environment, tmp_path):
    path = tmp_path / "secret"
    path.write_text("postgresql://u:p@h/d\n")
    settings = environment(DATABASE_URL_FILE=str(path))
    assert settings.database_url == "postgresql+psycopg://u:p@h/d"


def test_secret_both_as_value_and_as_file_is_refused(environment, tmp_path):
    path = tmp_path / "secret"
    path.write_text("redis://h/2")
    with pytest.raises(ConfigurationError, match="WALLET_BROKER_URL_FILE, not both"):
        environment(BROKER_URL="redis://h/1", BROKER_URL_FILE=str(path))


def test_secret_file_that_cannot_be_read_names_variable_and_path(environment, tmp_path):
    path = tmp_path / "missing"
    with pytest.raises(ConfigurationError, match="WALLET_DATABASE_URL_FILE") as refusal:
        environment(DATABASE_URL_FILE=str(path))
    assert str(path) in str(refusal.value)


def test_what_is_no_secret_has_no_file(environment, tmp_path):
    with pytest.raises(ConfigurationError, match="WALLET_LOG_LEVEL_FILE is not"):
        environment(LOG_LEVEL_FILE=str(tmp_path))
