"""Puts bugs in, one at a time, and shows that a proof catches each of them."""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from proofs.evidence import Evidence
from proofs.service import ROOT
from wallet_app.standalone import embedded

BUGS = Path(__file__).parent / "bugs"
RUN_TIMEOUT_S = 600
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "instance", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
)


@dataclass(frozen=True)
class Change:
    """A text that is there once in a file of the service, and what replaces it."""

    file: str
    text: str
    instead: str


@dataclass(frozen=True)
class Bug:
    """One of proofs/bugs/*.toml; of its `proofs`, at least one test must fail."""

    name: str
    proofs: list[str]
    changes: list[Change]


@dataclass(frozen=True)
class Run:
    """What became of the tests; a test may also fail in what is checked after it."""

    failed: list[str]
    passed: int
    seconds: float


class Copy:
    """A copy of the checkout that bugs are put into, and the tests that run in it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("WALLET_")}
        self.environment = inherited | {
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "WALLET_DATABASE_URL": database_url,
        }
        shutil.copytree(ROOT, folder, ignore=NOT_COPIED)
        where = [sys.executable, "-c", "import wallet_app; print(wallet_app.__file__)"]
        found = subprocess.check_output(where, cwd=folder, env=self.environment)
        assert found.decode().startswith(str(folder)), f"not the copy: {found!r}"

    @contextlib.contextmanager
    def with_bug(self, bug: Bug) -> Iterator[None]:
        """Put a bug in, and take it out again; raises if its text is not there once."""
        sound: dict[Path, str] = {}
        for change in bug.changes:
            file = self.folder / change.file
            source = file.read_text()
            times = source.count(change.text)
            assert times == 1, f"{bug.name}: {times} times in {file}: {change.text!r}"
            sound.setdefault(file, source)
            file.write_text(source.replace(change.text, change.instead))
        yield
        for file, source in sound.items():
            file.write_text(source)

    def run(self, tests: Sequence[str]) -> Run:
        """Run tests; raises an AssertionError if they cannot even begin."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        command = [
            *(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider"),
            *("--hypothesis-profile=first-failure", f"--junitxml={report}", *tests),
        ]
        began = time.monotonic()
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            timeout=RUN_TIMEOUT_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = ended.stdout.decode(errors="replace")
        assert ended.returncode in (0, 1), output[-3000:]
        failed, passed = read_report(report)
        assert bool(failed) == bool(ended.returncode), output[-3000:]
        return Run(failed, passed, time.monotonic() - began)


def read_report(report: Path) -> tuple[list[str], int]:
    """The names of the tests that failed, and how many passed.

    A test that could not begin says nothing, unless another one has failed before.
    """
    failed, not_begun, passed = [], [], 0
    for case in ElementTree.parse(report).iter("testcase"):
        name, trouble = (
            str(case.get("name")),
            [*case.iter("failure"), *case.iter("error")],
        )
        if any("failed on setup" in one.get("message", "") for one in trouble):
            not_begun.append(f"{name}: {trouble[0].text}")
        elif trouble:
            failed.append(name)
        elif case.find("skipped") is None:
            passed += 1
    assert failed or not not_begun, not_begun[0][-3000:]
    return sorted(set(failed)), passed


def show(name: str, verdict: str, run: Run) -> None:
    """As soon as it is known: the whole takes minutes."""
    tests = len(run.failed) + run.passed
    print(
        f"{verdict:<7} {name} ({len(run.failed)} of {tests} tests, {run.seconds:.0f} s)"
    )
    for test in run.failed[:6]:
        print(f"          {test}")
    sys.stdout.flush()


def judge_bugs(copy: Copy, bugs: Sequence[Bug], evidence: Evidence) -> None:
    began = time.monotonic()
    proofs = sorted({proof for bug in bugs for proof in bug.proofs})
    sound = copy.run(proofs)
    show("nothing is changed", "FAILED" if sound.failed else "passed", sound)
    missed = []
    for bug in bugs:
        with copy.with_bug(bug):
            run = copy.run(bug.proofs)
        show(bug.name, "caught" if run.failed else "MISSED", run)
        if not run.failed:
            missed.append(bug.name)
    evidence.figure("bugs put in, one at a time", len(bugs))
    evidence.figure("caught", len(bugs) - len(missed))
    evidence.figure("missed", len(missed))
    evidence.figure("minutes", f"{(time.monotonic() - began) / 60:.1f}")
    evidence.check_none("without a bug all these proofs pass", sound.failed)
    evidence.check_none("each bug is caught", missed)


def chosen_bugs(names: Sequence[str]) -> list[Bug]:
    """Those whose name holds one of the names; all, if none is given."""
    found = [
        one for one in all_bugs() if any(name in one.name for name in names or [""])
    ]
    assert found, f"there is no such bug; there are {[one.name for one in all_bugs()]}"
    return found


def all_bugs() -> list[Bug]:
    return [
        Bug(one["name"], one["proofs"], [Change(**change) for change in one["change"]])
        for file in sorted(BUGS.glob("*.toml"))
        for one in tomllib.loads(file.read_text())["bug"]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="a part of a bug's name, or several")
    bugs = chosen_bugs(parser.parse_args().names)
    evidence = Evidence("Mutants: can the proofs fail?")
    with (
        tempfile.TemporaryDirectory(prefix="wallet-mutants-") as name,
        embedded.start(Path(name) / "pg") as server,
    ):
        judge_bugs(Copy(Path(name) / "wallet", server.url), bugs, evidence)
    return evidence.conclude()


if __name__ == "__main__":
    sys.exit(main())
