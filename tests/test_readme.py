"""The commands of the README, and the scripts of docs/, work as they stand there."""

import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def scripts() -> list[Any]:
    """Those of docs/: blocks that are marked as bash, and need nothing before them."""
    return [
        pytest.param(script, id=f"{page.name}-{number}")
        for page in sorted((ROOT / "docs").glob("*.md"))
        for number, script in enumerate(
            re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)
        )
    ]


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
@pytest.mark.parametrize("script", scripts())
def test_a_script_of_the_docs_runs(script, run, tmp_path):
    curl = 'curl() { command curl --fail-with-body "$@"; }'
    here = script.replace("localhost:8000", f"localhost:{run.port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{curl}\n{here}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


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
