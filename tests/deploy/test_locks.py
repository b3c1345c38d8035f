"""Lock files: what was tested is what is installed, with tracing or without."""

import re

import pytest
from gunicorns import ROOT

LOCKS = ("requirements", "requirements-otel", "requirements-fast", "requirements-dev")
PIN = re.compile(r"^(\S+)==(\S+?)( ; .+?)? \\\n((?: +--hash=sha256:\w{64}.*\n)+)", re.M)


def pins(lock):
    """By package and the platforms that it is for: version and hashes."""
    text = (ROOT / f"{lock}.lock").read_text()
    found = {(one[1], one[3]): (one[2], one[4]) for one in PIN.finditer(text)}
    # Without a hash, or in another form, it would be a line that is not found.
    packages = re.findall(r"^[^\s#].*", text, re.M)
    assert len(found) == len(packages)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_its_hashes(lock):
    assert pins(lock)


@pytest.mark.parametrize("lock", ["requirements", "requirements-otel"])
def test_what_production_installs_is_what_is_tested(lock):
    tested = versions("requirements-dev")
    assert versions(lock).items() <= tested.items()


def test_tracing_adds_opentelemetry_and_changes_nothing():
    plain, traced = versions("requirements"), versions("requirements-otel")
    assert plain.items() <= traced.items()
    added = traced.keys() - plain.keys()
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"} <= added


def versions(lock):
    return {package: version for (package, _), (version, _) in pins(lock).items()}


def test_image_can_be_built_with_each():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (copied,) = (one for one in lines if one.startswith("COPY requirements"))
    for lock in LOCKS[:3]:
        assert f"{lock}.lock" in copied.split()
        assert f"!{lock}.lock" in (ROOT / ".dockerignore").read_text().splitlines()
