"""The scan for secrets finds those that it is there for."""

import secrets
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def scan(*files):
    return subprocess.run(
        ["make", "scan-secrets", f"FILES={' '.join(map(str, files))}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Put together here, so that this file holds none.
@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("Wallet API key", f"key = wk_{'live'}_a1b2c3_{secrets.token_urlsafe(36)}"),
        ("Private Key", f"-----BEGIN RSA {'PRIVATE'} KEY-----"),
        ("Basic Auth", f"postgresql://wallet:{secrets.token_hex(8)}@db/wallet"),
        ("AWS Access Key", f"AKIA{'IOSFODNN7'}{'ABCDEFG'}"),
    ],
    ids=["key", "private key", "password", "AWS"],
)
def test_secret_in_a_file_is_found(kind, line, tmp_path):
    file = tmp_path / "notes.md"
    file.write_text(f"Some text.\n{line}\n")
    found = scan(file)
    assert found.returncode != 0
    assert kind in found.stdout
    file.write_text("Some text.\nkeys begin with wk_live_\n")
    assert scan(file).returncode == 0
