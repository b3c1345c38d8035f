"""Schemathesis against a running service: requests made from its own description."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

WALLETS_VARIABLE = "WALLETS_THAT_THERE_ARE"
ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "from schemathesis.cli import schemathesis; schemathesis()"


@dataclass(frozen=True)
class Findings:
    """What a run of Schemathesis says."""

    cases: int
    failures: list[str]
    phases: dict[str, str]
    links: str
    text: str


def explore(
    port: int,
    folder: Path,
    *,
    wallets: list[str],
    examples: int,
    seed: int | None,
    phases: str,
    seconds: int,
) -> Findings:
    """All checks, on requests that fit the description and on ones that do not.

    Without a seed, the same requests every time.
    """
    choice = ["--generation-deterministic"] if seed is None else ["--seed", str(seed)]
    report = folder / "schemathesis.json"
    command = [
        *(sys.executable, "-c", PROGRAM, "run"),
        f"http://127.0.0.1:{port}/openapi.json",
        *("--checks", "all", "--phases", phases, "--max-examples", str(examples)),
        *(*choice, "--continue-on-failure", "--no-color", "--output-sanitize", "false"),
        *("--report-json-path", str(report), "--request-timeout", "20"),
    ]
    finished = subprocess.run(
        command,
        cwd=folder,
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": "proofs.said_in_words",
            "PYTHONPATH": str(ROOT),
            WALLETS_VARIABLE: ",".join(wallets),
        },
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert report.exists(), finished.stdout + finished.stderr
    found = json.loads(report.read_text())
    assert found["complete"], finished.stdout
    return Findings(
        cases=found["test_cases"]["generated"],
        failures=failures_of(found),
        phases={name: one["status"] for name, one in found["phases"].items()},
        links=line_with("API Links:", finished.stdout),
        text=finished.stdout,
    )


def failures_of(found: dict) -> list[str]:
    failures = [
        f"{one['title']}: {', '.join(one['operations'])}" for one in found["failures"]
    ]
    errors = found["test_cases"]["errored"] + found["operations"]["errored"]
    return failures + ([f"{errors} errors"] if errors else [])


def line_with(name: str, text: str) -> str:
    """What stands behind a name in the output."""
    lines = (line.strip() for line in text.splitlines())
    return next((line[len(name) :].strip() for line in lines if name in line), "none")
