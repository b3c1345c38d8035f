"""Board and alerts speak of figures that there are; each alert says what to do."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
BOARD = ROOT / "deploy" / "grafana" / "wallet.json"
MANUAL = ROOT / "docs" / "operations.md"
ALERTS = [
    rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
]
PANELS = json.loads(BOARD.read_text())["panels"]


@pytest.fixture
def told(app, make_app, make_wallet):
    """The names of all samples on the page, and the labels of each."""
    web = make_app(metrics=True).test_client()
    body = {"operation_type": "DEPOSIT", "amount": "1.00"}
    web.post(f"/api/v1/wallets/{make_wallet()}/operation", json=body)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(web.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def used(expression):
    """The metrics of a PromQL expression, and the labels by which it chooses."""
    for name, chosen in re.findall(r"\b(wallet_\w+)(?:{([^}]*)})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen)) - {"instance"}


EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in ALERTS} | {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}


def test_what_board_and_alerts_use_is_there(told):
    missing = {
        (where, name, *(labels - told.get(name, set())))
        for where, expression in EXPRESSIONS.items()
        for name, labels in used(expression)
        if name not in told or labels - told[name]
    }
    assert missing == set()


def test_each_expression_uses_a_figure():
    assert [
        where
        for where, expression in EXPRESSIONS.items()
        if not list(used(expression)) and not expression.startswith('up{job="wallet"}')
    ] == []


def test_each_alert_says_what_to_do():
    sections = re.findall(r"^### (Wallet\w+)$", MANUAL.read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in ALERTS]


def test_panels_do_not_cover_each_other():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    corners = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in PANELS}
    assert len(corners) == len(PANELS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
@pytest.mark.parametrize(
    "what", [("rules", "alerts.yml"), ("config", "prometheus.yml")]
)
def test_promtool_accepts_the_files(what):
    kind, name = what
    checked = subprocess.run(
        ["promtool", "check", kind, RULES.with_name(name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_prometheus_understands_every_expression(tmp_path):
    """Grafana's variables are put in; the parser is Prometheus' own."""
    rules = [
        {
            "record": f"panel:number{number}",
            "expr": expression.replace("$__rate_interval", "5m").replace(
                "$instance", ".*"
            ),
        }
        for number, expression in enumerate(EXPRESSIONS.values())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
