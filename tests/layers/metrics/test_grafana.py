"""The board for Grafana: it asks for metrics and labels that there are, and is where the wheel takes it from."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ziggurat.layers.metrics.instruments import instruments

BOARD: dict[str, Any] = json.loads((files("ziggurat.layers.metrics") / "grafana.json").read_text(encoding="utf-8"))
TARGETS = [(panel, target) for panel in BOARD["panels"] for target in panel["targets"]]

LABELS = {
    "ziggurat_dials_total": {"outcome"},
    "ziggurat_dial_failures_total": {"error", "phase"},
    "ziggurat_dial_duration_seconds": {"outcome", "le"},
    "ziggurat_phase_duration_seconds": {"phase", "outcome", "le"},
}


def test_each_metric_is_on_the_board_and_there_is_no_other() -> None:
    registry = CollectorRegistry()
    instruments(registry)
    ours = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in registry.collect()}
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for _, target in TARGETS
        for name in re.findall(r"ziggurat_\w+", target["expr"])
    }

    assert asked == ours


@pytest.mark.parametrize("expression", [target["expr"] for _, target in TARGETS])
def test_an_expression_has_labels_that_its_metric_has_and_chooses_the_stack(expression: str) -> None:
    [name] = {re.sub(r"_(bucket|sum|count)$", "", found) for found in re.findall(r"ziggurat_\w+", expression)} - (
        {"ziggurat_dials_total"} if "scalar" in expression else set()
    )
    grouped = {label.strip() for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(",")}
    matched = {label for found in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)=", found)}

    assert grouped | matched <= {"stack", *LABELS.get(name, set())}
    assert expression.count('stack=~"$stack"') == expression.count("ziggurat_")


def test_a_legend_has_labels_that_its_expression_keeps() -> None:
    for _, target in TARGETS:
        kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


def test_panels_do_not_overlap_and_have_titles_of_their_own() -> None:
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]

    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert len({panel["title"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_every_query_goes_to_the_data_source_that_is_chosen() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    assert all(panel["datasource"] == target["datasource"] == chosen for panel, target in TARGETS)
    assert {variable["name"] for variable in BOARD["templating"]["list"]} == {"datasource", "stack"}
