"""Three PostgreSQL nodes under Patroni, three of etcd, and HAProxy, on loopback.

They are Debian's packages. What a node is asked, Patroni's REST API answers.
"""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from proofs.service import free_port, wait_for
from tests import debian
from wallet_app.standalone.processes import ends_with

NODES = ("one", "two", "three")
DATABASE = "wallet"
PROGRAMS = {
    "patroni": ("patroni",),
    "etcd": ("etcd-server",),
    "/usr/sbin/haproxy": ("haproxy",),
}
BIN = Path("/usr/lib/postgresql/15/bin")
HEAL_TIMEOUT_S = 120
# The least that Patroni's documentation allows: a node that says nothing for so long
# loses the leadership.
TTL_S = 20
IS_HEALTHY = ("running", "streaming")


class Program:
    """A process of the cluster, which can be killed and started again."""

    def __init__(self, command: list[str], log: Path, owner: dict[str, Any]) -> None:
        self.command = command
        self.log = log
        self.owner = owner
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=ends_with(os.getpid()),
                **self.owner,
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def revive(self) -> None:
        """Start it again if it has ended."""
        if self.process.poll() is not None:
            self.start()


class Node:
    """PostgreSQL and the Patroni that looks after it."""

    def __init__(self, cluster: "PatroniCluster", name: str) -> None:
        self.name = name
        self.port, self.rest_port = free_port(), free_port()
        self.data_dir = cluster.folder / name / "data"
        self.cluster = cluster

    def start(self) -> None:
        path = self.data_dir.parent / "patroni.json"
        self.data_dir.parent.mkdir()
        # Patroni reads YAML, of which JSON is a part.
        path.write_text(json.dumps(self.configuration()))
        self.cluster.give(self.data_dir.parent)
        self.patroni = Program(
            ["patroni", str(path)], path.with_suffix(".log"), self.cluster.owner
        )

    def configuration(self) -> dict[str, Any]:
        admin = {"username": "postgres", "password": self.cluster.password}
        return {
            "scope": "wallet",
            "name": self.name,
            "restapi": {
                "listen": f"127.0.0.1:{self.rest_port}",
                "connect_address": f"127.0.0.1:{self.rest_port}",
            },
            "etcd3": {"hosts": [f"127.0.0.1:{p}" for p in self.cluster.etcd_ports]},
            "bootstrap": {
                "dcs": {
                    "ttl": TTL_S,
                    "loop_wait": 1,
                    "retry_timeout": 5,
                    "synchronous_mode": True,
                    # A dead primary is not waited for: another takes over at once.
                    "primary_start_timeout": 0,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "parameters": {
                            "max_connections": 200,
                            "shared_buffers": "64MB",
                            "wal_log_hints": "on",
                        },
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.data_dir),
                "bin_dir": str(BIN),
                "pgpass": str(self.data_dir.parent / "pgpass"),
                "authentication": {"superuser": admin, "replication": admin},
                "parameters": {"unix_socket_directories": ""},
                "pg_hba": [
                    "host all all 127.0.0.1/32 scram-sha-256",
                    "host replication all 127.0.0.1/32 scram-sha-256",
                ],
            },
        }

    def ask(self, path: str, body: object = None) -> Any:
        """What Patroni says; raises OSError if it says nothing, or no."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.rest_port}/{path}",
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
        return text if body is not None else json.loads(text)

    def postmaster(self) -> psutil.Process:
        pid = (self.data_dir / "postmaster.pid").read_text().split()[0]
        return psutil.Process(int(pid))

    def kill_postgres(self) -> None:
        self.postmaster().kill()

    def kill_all(self) -> None:
        """As when the machine is gone: Patroni first, so that it can tell nobody."""
        self.patroni.kill()
        with contextlib.suppress(psutil.Error, OSError):
            postmaster = self.postmaster()
            family = [postmaster, *postmaster.children(recursive=True)]
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(family, timeout=10)


class PatroniCluster:
    """The whole of it; heal() starts what was killed and waits until all is well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = secrets.token_hex(8)
        self.owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            user = pwd.getpwnam("postgres")
            ids = {"user": user.pw_uid, "group": user.pw_gid}
            self.owner = {**ids, "extra_groups": []}
        self.give(folder)
        self.etcd_ports = [free_port() for _ in NODES]
        self.proxy_port = free_port()
        self.nodes = [Node(self, name) for name in NODES]
        self.started: list[Program] = []

    def give(self, path: Path) -> None:
        if self.owner:
            os.chown(path, self.owner["user"], self.owner["group"])

    def start(self) -> None:
        self.etcd = self.start_etcd()
        for node in self.nodes:
            node.start()
            if node is self.nodes[0]:
                # Of two that begin at once, one would be made twice.
                self.node("leader")
        self.haproxy = self.start_haproxy()
        self.heal()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def start_etcd(self) -> list[Program]:
        peers = {name: free_port() for name in NODES}
        members = ",".join(f"{n}=http://127.0.0.1:{p}" for n, p in peers.items())
        return [
            Program(
                [
                    "etcd",
                    *("--name", name, "--data-dir", str(self.folder / f"etcd-{name}")),
                    *("--listen-client-urls", f"http://127.0.0.1:{port}"),
                    *("--advertise-client-urls", f"http://127.0.0.1:{port}"),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peers[name]}"),
                    *("--initial-advertise-peer-urls",),
                    f"http://127.0.0.1:{peers[name]}",
                    *("--initial-cluster", members),
                    # Two processors carry all of this, and the load.
                    *("--heartbeat-interval", "200", "--election-timeout", "2000"),
                ],
                self.folder / f"etcd-{name}.log",
                self.owner,
            )
            for name, port in zip(NODES, self.etcd_ports, strict=True)
        ]

    def start_haproxy(self) -> Program:
        path = self.folder / "haproxy.cfg"
        servers = "".join(
            f"  server {one.name} 127.0.0.1:{one.port} check port {one.rest_port}\n"
            for one in self.nodes
        )
        path.write_text(
            "defaults\n  mode tcp\n  timeout connect 1s\n  timeout check 1s\n"
            "  timeout client 30m\n  timeout server 30m\n  retries 1\n"
            f"listen primary\n  bind 127.0.0.1:{self.proxy_port}\n"
            "  option httpchk OPTIONS /primary\n  http-check expect status 200\n"
            "  default-server inter 500 fall 2 rise 1"
            " on-marked-down shutdown-sessions\n"
            f"{servers}"
        )
        command = ["/usr/sbin/haproxy", "-db", "-f", str(path)]
        return Program(command, self.folder / "haproxy.log", self.owner)

    def members(self) -> list[dict[str, Any]]:
        """What the first node that answers knows of all."""
        for node in self.nodes:
            with contextlib.suppress(OSError, ValueError):
                return list(node.ask("cluster")["members"])
        return []

    def named(self, role: str) -> Node | None:
        for member in self.members():
            if member["role"] == role:
                return next(one for one in self.nodes if one.name == member["name"])
        return None

    def node(self, role: str, *, not_this: Node | None = None) -> Node:
        """The node in that role, once there is one."""
        found: list[Node] = []

        def find() -> bool:
            found[:] = [one for one in [self.named(role)] if one is not None]
            return bool(found) and found[0] is not not_this

        wait_for(find, HEAL_TIMEOUT_S)
        return found[0]

    def replace(self, role: str) -> None:
        """Kill the node in that role, and wait until another one has it."""
        node = self.node(role)
        node.kill_all()
        self.node(role, not_this=node)

    def is_whole(self) -> bool:
        """Whether each node runs, one leads, and one is the synchronous standby."""
        roles = sorted(member["role"] for member in self.members())
        if roles != ["leader", "replica", "sync_standby"]:
            return False
        with contextlib.suppress(OSError, ValueError):
            # Each for itself: what the others know of it may be old.
            states = [node.ask("patroni")["state"] for node in self.nodes]
            return all(state in IS_HEALTHY for state in states)
        return False

    def heal(self) -> None:
        for program in [*self.etcd, self.haproxy, *(n.patroni for n in self.nodes)]:
            program.revive()
        wait_for(self.is_whole, HEAL_TIMEOUT_S)

    def switch_over(self) -> None:
        leader, candidate = self.node("leader"), self.node("sync_standby")
        names = {"leader": leader.name, "candidate": candidate.name}
        leader.ask("switchover", names)

    def url(self, *, several_hosts: bool = False) -> str:
        """Through HAProxy, or with every node's address, as libpq has it."""
        place = f"127.0.0.1:{self.proxy_port}/{DATABASE}"
        if several_hosts:
            hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
            place = f"{hosts}/{DATABASE}?target_session_attrs=read-write"
        return f"postgresql://postgres:{self.password}@{place}"

    def connect(
        self, database: str = DATABASE, **options: Any
    ) -> psycopg.Connection[Any]:
        """A connection of our own, which finds the primary by itself, in autocommit."""
        return psycopg.connect(
            self.url(several_hosts=True),
            dbname=database,
            autocommit=True,
            connect_timeout=2,
            **options,
        )

    def stop(self) -> None:
        for node in self.nodes:
            if hasattr(node, "patroni"):
                node.kill_all()
        for program in [*getattr(self, "etcd", []), getattr(self, "haproxy", None)]:
            if program is not None:
                program.kill()


@contextlib.contextmanager
def running() -> Iterator[PatroniCluster]:
    """A cluster with an empty database; it is gone afterwards."""
    for program, packages in PROGRAMS.items():
        debian.need(program, *packages)
    debian.need(str(BIN / "initdb"), "postgresql-15")
    folder = Path(tempfile.mkdtemp(prefix="wallet-patroni-"))
    folder.chmod(0o755)
    cluster = PatroniCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
