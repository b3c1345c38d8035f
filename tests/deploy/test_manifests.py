"""The manifests and the production compose file: valid, confined, and of one mind."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from wallet_app.config import SECRETS, Settings

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kubernetes" / "base"
OVERLAY = ROOT / "deploy" / "kubernetes" / "overlays" / "example"
# The oldest that a provider still runs, and the newest whose schemas there are.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
SETTINGS = {f"WALLET_{name.upper()}" for name in Settings.__dataclass_fields__} | {
    f"WALLET_{name.upper()}_FILE" for name in SECRETS
}


def manifests(folder: Path) -> list[dict[str, Any]]:
    return [
        document
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for document in yaml.safe_load_all(path.read_text())
    ]


def kustomization(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text()))


def named(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def compose_services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text()))[
        "services"
    ]


PODS = [one for one in manifests(BASE) if one["kind"] in {"Deployment", "Job"}]


def pod(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", manifests(BASE) + manifests(OVERLAY), ids=named)
def test_manifest_is_valid(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_schemas_find_what_is_misspelt():
    (web,) = (one for one in manifests(BASE) if named(one) == "Deployment/web")
    web["spec"]["replicsa"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(web, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("folder", [BASE, OVERLAY], ids=["base", "example"])
def test_kustomization_names_each_file_once(folder):
    content = kustomization(folder)
    patches = [patch["path"] for patch in content.get("patches", [])]
    listed = [one for one in content["resources"] if not one.startswith("..")] + patches
    files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert sorted(listed) == sorted(files)


def test_patches_are_for_what_the_base_has():
    base = {named(one) for one in manifests(BASE)}
    for patch in kustomization(OVERLAY)["patches"]:
        assert named(yaml.safe_load((OVERLAY / patch["path"]).read_text())) in base


@pytest.mark.skipif(shutil.which("kustomize") is None, reason="kustomize is not here")
def test_kustomize_builds_what_is_valid():
    built = subprocess.run(
        ["kustomize", "build", str(OVERLAY)], check=True, capture_output=True
    )
    for manifest in yaml.safe_load_all(built.stdout):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("manifest", PODS, ids=named)
def test_pod_is_confined(manifest):
    spec = pod(manifest)
    assert spec["serviceAccountName"] == "wallet"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_web_pod_has_the_time_that_gunicorn_takes():
    configuration = (ROOT / "gunicorn.conf.py").read_text()
    graceful = int(re.findall(r"^graceful_timeout = (\d+)", configuration, re.M)[0])
    (web,) = (pod(one) for one in PODS if named(one) == "Deployment/web")
    command = web["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert web["terminationGracePeriodSeconds"] > int(command[1]) + graceful
    for name, service in compose_services().items():
        if name.startswith("web-"):
            assert int(service["stop_grace_period"].removesuffix("s")) > graceful


def test_there_is_one_beat_and_never_two():
    (beat,) = (one for one in PODS if named(one) == "Deployment/beat")
    assert beat["spec"]["replicas"] == 1
    assert beat["spec"]["strategy"] == {"type": "Recreate"}


def queues(commands: list[list[str]]) -> set[str]:
    return {
        word.removeprefix("--queues=")
        for command in commands
        for word in command
        if word.startswith("--queues=")
    }


def test_each_queue_has_a_worker(app):
    celery = app.extensions["celery"].conf
    needed = {route["queue"] for route in celery.task_routes.values()}
    needed.add(celery.task_default_queue)
    containers = [one for manifest in PODS for one in pod(manifest)["containers"]]
    assert queues([one.get("args", []) for one in containers]) == needed
    services = compose_services().values()
    assert queues([one.get("command", []) for one in services]) == needed


def test_settings_are_settings_of_the_service():
    (settings,) = (one for one in manifests(BASE) if one["kind"] == "ConfigMap")
    given = set(settings["data"])
    for service in compose_services().values():
        given |= set(service.get("environment", {}))
    wallets = {name for name in given if name.startswith("WALLET_")}
    assert wallets
    assert wallets <= SETTINGS


def test_ingress_leads_to_all_but_what_is_for_those_inside(app):
    (ingress,) = (one for one in manifests(OVERLAY) if one["kind"] == "Ingress")
    (rule,) = ingress["spec"]["rules"]
    prefixes = [path["path"] for path in rule["http"]["paths"]]
    closed = {
        str(url)
        for url in app.url_map.iter_rules()
        if not any(f"{url}/".startswith(f"{prefix}/") for prefix in prefixes)
    }
    assert closed <= {"/readyz", "/metrics"}


@pytest.mark.parametrize("name", sorted(compose_services()))
def test_container_is_confined(name):
    service = compose_services()[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] in {"unless-stopped", "on-failure:3"}
    assert "ports" not in service or name == "nginx"
    # These two are as their makers have them.
    if name not in {"db", "broker"}:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_nginx_and_compose_name_the_same_nodes():
    nodes = (ROOT / "deploy/nginx/nodes.conf").read_text()
    proxied = set(re.findall(r"^server (web-\d+):8000", nodes, re.M))
    services = compose_services()
    assert proxied == {name for name in services if name.startswith("web-")}
    hosts = {host.partition(":")[0] for host in services["nginx"]["extra_hosts"]}
    assert hosts == proxied
    rolled = re.findall(r"web-\d+", (ROOT / "deploy/roll").read_text())
    assert sorted(rolled) == sorted(proxied)
