"""The README's commands work as they stand there."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import ROOT, Run, environment

README = (ROOT / "README.md").read_text()
pytestmark = pytest.mark.slow


def commands(start: str) -> list[str]:
    """The lines of the README's shell blocks that begin with `start`."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [
        line
        for block in blocks
        for line in block.splitlines()
        if line.startswith(start)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("readme")
    run = Run(folder / "instance", folder / "log")
    try:
        run.wait_until_ready()
        yield run
    finally:
        run.end(signal.SIGTERM)


def output_of(command: str, run: Run) -> str:
    here = command.replace("localhost:8000", f"localhost:{run.port}")
    return subprocess.run(
        shlex.split(here),
        cwd=ROOT,
        env=environment(Path(run.instance_dir)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_curl_lines_answer_in_their_order(run):
    curls = commands("curl")
    deposit, withdrawal, wallet, history, statistics = (
        json.loads(output_of(line, run)) for line in curls
    )
    assert (deposit["operation_type"], deposit["amount"]) == ("DEPOSIT", "1000.00")
    assert (withdrawal["operation_type"], withdrawal["amount"]) == (
        "WITHDRAW",
        "500.00",
    )
    assert wallet["balance"] == withdrawal["balance_after"]
    assert [one["id"] for one in history["data"]] == [withdrawal["id"], deposit["id"]]
    assert statistics["as_of_seq"] == withdrawal["seq"]


@pytest.mark.parametrize("command", commands(".venv/bin/flask"))
def test_command_lines_succeed(command, run):
    assert output_of(command, run)


@pytest.mark.parametrize("line", commands("make"))
def test_make_targets_are_there(line):
    target = line.split()[1]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_links_lead_to_files():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
