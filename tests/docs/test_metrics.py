"""The manual, the dashboard and the alert rules against the metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pilotage.runtime.metrics.catalogue import METRICS, Metric

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "pilotage.json").read_text())
ALERTS: Any = YAML(typ="safe").load(ROOT / "deploy" / "prometheus" / "pilotage-alerts.yml")

_NAME = re.compile(r"\b(?:pilotage|process)_\w+")


def expressions() -> list[tuple[str, str]]:
    """Return every expression of the dashboard and of the alert rules, with where it stands."""
    panels = [
        (f"dashboard: {panel['title']}", target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    ]
    rules = [
        (f"alert {rule['alert']}", rule["expr"])
        for group in ALERTS["groups"]
        for rule in group["rules"]
    ]
    return panels + rules


def shown() -> dict[str, str]:
    """Return each series that a scrape shows, by the metric that it is of."""
    names: dict[str, str] = {}
    for metric in METRICS:
        ends = ("_bucket", "_sum", "_count") if metric.type == "histogram" else ("",)
        names |= {metric.name + end: metric.name for end in ends}
    return names


class TestManual:
    @pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
    def test_row(self, metric: Metric) -> None:
        """Each metric has a row that says what the catalogue says."""
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        row = f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |"
        assert " ".join(row.split()) in " ".join(PAGE.split())

    def test_nothing_is_invented(self) -> None:
        """The manual has no row of a metric that does not exist."""
        rows = re.findall(r"^\| `((?:pilotage|process)_\w+)` \|", PAGE, re.M)
        assert sorted(rows) == sorted(metric.name for metric in METRICS)


class TestFiles:
    @pytest.mark.parametrize(("where", "expression"), expressions())
    def test_metrics_exist(self, where: str, expression: str) -> None:
        """What the dashboard and the alert rules refer to is shown by the engine."""
        assert set(_NAME.findall(expression)) <= set(shown()), where
        assert _NAME.search(expression) or "up{" in expression

    @pytest.mark.parametrize(("where", "expression"), expressions())
    def test_labels_exist(self, where: str, expression: str) -> None:
        """The labels that an expression or its legend names are those of its metrics."""
        metrics = {metric.name: metric for metric in METRICS}
        known = {"job", "instance", "le"}
        for name in _NAME.findall(expression):
            known |= set(metrics[shown()[name]].labels)
        named = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression))
        named |= {
            w.strip()
            for found in re.findall(r"by \(([^)]*)\)", expression)
            for w in found.split(",")
        }
        assert named <= known, where

    def test_legends(self) -> None:
        """Each legend names labels that its metrics have."""
        metrics = {metric.name: metric for metric in METRICS}
        for panel in DASHBOARD["panels"]:
            for target in panel.get("targets", ()):
                (name, *_) = _NAME.findall(target["expr"])
                labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                assert labels <= set(metrics[shown()[name]].labels), panel["title"]

    def test_counters_are_rated(self) -> None:
        """A counter is looked at as it grows: its value alone says nothing."""
        types = {metric.name: metric.type for metric in METRICS}
        for where, expression in expressions():
            for name in _NAME.findall(expression):
                if types.get(shown()[name]) == "counter":
                    assert re.search(rf"(?:rate|increase)\({name}[\[{{]", expression), where

    def test_each_alert_has_its_mend(self) -> None:
        """Each alert says how bad it is, what is wrong, and what to do."""
        for group in ALERTS["groups"]:
            for rule in group["rules"]:
                assert rule["labels"]["severity"] in ("critical", "warning")
                assert set(rule["annotations"]) == {"summary", "mend"}, rule["alert"]

    def test_panels_have_room(self) -> None:
        """No panel lies on another, or beyond the edge."""
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
            taken |= cells
