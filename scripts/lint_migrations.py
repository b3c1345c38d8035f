"""Refuses migrations that would stop the service while they run; squawk reads them.

Those up to LAST_EXEMPT are exempt. What has to be done all the same takes a comment,
squawk-ignore and the rule's name, before its statement: see docs/operations.md.
"""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import flask_migrate
from alembic.script import ScriptDirectory

from wallet_app import create_app
from wallet_app.config import Settings

ROOT = Path(__file__).resolve().parents[1]
MIGRATIONS = ROOT / "migrations"
# What squawk would refuse up to here was run under load: tests/test_migrations.py.
LAST_EXEMPT = "0011"
OLDEST_POSTGRES = "15.0"
# Matters of taste, and limits of time, which migrations/env.py sets.
NOT_ASKED = (
    "prefer-bigint-over-int",
    "prefer-robust-stmts",
    "prefer-text-field",
    "require-lock-timeout",
    "require-statement-timeout",
)


def main() -> int:
    later = ScriptDirectory(str(MIGRATIONS)).iterate_revisions("head", LAST_EXEMPT)
    revisions = [one.revision for one in reversed(list(later))]
    codes = [
        lint(sql_of(before, revision), f"migrations/{revision}.sql")
        for before, revision in zip([LAST_EXEMPT, *revisions], revisions, strict=False)
    ]
    return max(codes, default=0)


def sql_of(before: str, revision: str) -> str:
    """The statements of one migration, as `flask db upgrade --sql` writes them."""
    # It is never connected to.
    app = create_app(Settings(database_url="postgresql+psycopg://nobody@localhost/no"))
    output = io.StringIO()
    with app.app_context(), contextlib.redirect_stdout(output):
        span = f"{before}:{revision}"
        flask_migrate.upgrade(directory=str(MIGRATIONS), revision=span, sql=True)
    return output.getvalue()


def lint(sql: str, name: str) -> int:
    """Let squawk read it; it prints what it has found. Returns its exit code."""
    squawk = Path(sys.executable).with_name("squawk")
    command = [str(squawk), f"--stdin-filepath={name}"]
    options = [f"--pg-version={OLDEST_POSTGRES}", f"--exclude={','.join(NOT_ASKED)}"]
    read = subprocess.run([*command, *options], input=sql, text=True, check=False)
    return read.returncode


if __name__ == "__main__":
    sys.exit(main())
