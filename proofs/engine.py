"""A Docker engine of the proof's own, and images for it from Debian's packages."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import debian
from wallet_app.standalone.processes import ends_with

STAND_INS = Path(__file__).parent / "stand_ins"
# By the names that the Dockerfiles and docker-compose.prod.yml have for the real ones.
TAGS = {
    "python": "python:3.13-slim",
    "postgres": "postgres:18",
    "rabbitmq": "rabbitmq:4",
    "nginx": "nginx:1.28",
    "compose": "stand-in-compose",
}
BASE = "debian:13-slim"
DEBIAN = "trixie"
NEEDED_BYTES = 6 * 1024**3
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 120


class Unavailable(Exception):
    """No engine can run on this machine; the text says why."""


class Engine:
    """dockerd with all of its data in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = f"unix://{folder}/docker.sock"
        self.log = folder / "dockerd.log"
        self.environment = os.environ | {
            "DOCKER_HOST": self.socket,
            "DOCKER_CONFIG": str(folder / "client"),
            # The builder that needs nothing beside the engine.
            "DOCKER_BUILDKIT": "0",
        }

    def start(self) -> None:
        # No rules for the firewall: containers reach each other, and nothing else.
        options = ["--iptables=false", "--ip6tables=false", "--bridge=none"]
        for name in ("data-root", "exec-root"):
            options += [f"--{name}", str(self.folder / name)]
        options += ["--pidfile", str(self.folder / "pid"), "--host", self.socket]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ends_with(os.getpid()),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                *_, last = self.log.read_text(errors="replace").splitlines() or [""]
                raise Unavailable(f"dockerd does not start: {last}")
            time.sleep(0.2)

    def answers(self) -> bool:
        asked = subprocess.run(
            ["docker", "version"],
            env=self.environment,
            check=False,
            capture_output=True,
        )
        return asked.returncode == 0

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_TIMEOUT_S)
        # Namespaces of networks, and layers of a container that was not removed.
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        for mount in reversed([line.split()[1] for line in mounts]):
            if mount.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", mount], check=False)

    def docker(self, *arguments: str) -> str:
        """Run a command of docker's, and return what it says."""
        return run(["docker", *arguments], self.environment)

    def build(self, tag: str, context: Path, *options: str) -> float:
        """Build an image; return the seconds that it took."""
        began = time.monotonic()
        self.docker("build", "--network=host", "--tag", tag, *options, str(context))
        return time.monotonic() - began

    def import_base(self) -> None:
        """Make Debian itself an image, since none can be pulled."""
        root = self.folder / "root"
        run(["debootstrap", "--variant=minbase", DEBIAN, str(root)], self.environment)
        # Whom this machine trusts, pip in a container must trust as well.
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        (root / "etc/ssl").mkdir(exist_ok=True)
        (root / "etc/ssl/machine.pem").write_bytes(certificates.read_bytes())
        archive = self.folder / "root.tar"
        run(["tar", "-C", str(root), "-cf", str(archive), "."], self.environment)
        self.docker("import", str(archive), BASE)
        shutil.rmtree(root)
        archive.unlink()

    def build_stand_ins(self) -> None:
        self.import_base()
        for name, tag in TAGS.items():
            self.build(tag, STAND_INS / name)

    def compose(self) -> str:
        """The path of Docker Compose 2, taken out of its stand-in."""
        container = self.docker("create", TAGS["compose"]).strip()
        program = "/usr/libexec/docker/cli-plugins/docker-compose"
        self.docker("cp", f"{container}:{program}", str(self.folder))
        self.docker("rm", container)
        return str(self.folder / "docker-compose")


def run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command; one that fails shows what it said."""
    done = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True
    )
    said = (done.stdout + done.stderr)[-3000:]
    assert done.returncode == 0, f"{' '.join(command)}\n{said}"
    return done.stdout


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """An engine without an image; all of it is gone at the end. Raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("only root may start one")
    folder = Path(tempfile.mkdtemp(prefix="wallet-containers-"))
    if shutil.disk_usage(folder).free < NEEDED_BYTES:
        folder.rmdir()
        raise Unavailable(f"{folder.parent} has less than 6 GB left")
    engine = Engine(folder)
    try:
        need_programs()
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def need_programs() -> None:
    try:
        debian.need("debootstrap", "debootstrap")
        debian.need("dockerd", "docker.io")
        debian.need("docker", "docker-cli")
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"Debian's packages cannot be installed: {error}") from error
