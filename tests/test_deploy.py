"""The dashboard and the alert rules name only what this server has."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.observability.table import TABLE
from tests.observability.fakes import MetricsCase

DEPLOY = Path(__file__).parents[1] / "deploy"

WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

NOT_METRICS = re.compile(
    r'"[^"]*"'  # strings
    r"|\{\{.*?\}\}"
    r"|\$\w+"  # variables of the dashboard
    r"|\[[^\]]*\]"  # ranges
    r"|\b(?:by|on|group_left|without|ignoring)\s*\([^)]*\)"  # lists of labels
    r"|\b[a-z_]+\s*(?==~?|!~|!=)"  # the label of a matcher
)

WORDS = {
    *("sum", "max", "min", "rate", "increase", "changes", "histogram_quantile", "label_values"),
    "time",
}
"""Functions and operators of PromQL that are used; any other word must be a metric."""

PROMETHEUS_OWN = {"up", "probe_success"}
"""Made by Prometheus itself and by the blackbox exporter."""


def words(expression: str) -> set[str]:
    """Return the names of the series in a PromQL expression."""
    # the comparison operators look like matchers, so they go first
    text = re.sub(r">=|<=|==", " ", expression)
    return set(WORD.findall(NOT_METRICS.sub(" ", text))) - WORDS


def labels_of(expression: str) -> set[tuple[str, str]]:
    """Return each series with each label that its matchers name."""
    found = set()
    for name, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
        found |= {(name, label) for label in re.findall(r"([a-z_]+)\s*(?:=|!)", matchers)}
    return found


class DeployTests(MetricsCase):
    def setUp(self) -> None:
        """Learn the names of all series."""
        super().setUp()
        self.known = names_of(self.registry)

    def assert_known(self, expression: str) -> None:
        found = words(expression)
        self.assertTrue(found, expression)
        self.assertEqual(found - self.known - PROMETHEUS_OWN, set(), expression)
        labels = {row.name: set(row.labels) for row in TABLE}
        for name, label in labels_of(expression):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            if base in labels and label not in ("job", "instance"):
                self.assertIn(label, labels[base], expression)

    def test_dashboard(self) -> None:
        """Every expression of the dashboard names known metrics and labels."""
        board = json.loads((DEPLOY / "grafana" / "rapidrtmp.json").read_text(encoding="utf-8"))
        expressions = [
            target["expr"] for panel in board["panels"] for target in panel.get("targets", [])
        ]
        self.assertGreater(len(expressions), 40)
        for expression in expressions:
            self.assert_known(expression)
            self.assertIn('job=~"$job",instance=~"$instance"', expression)
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        self.assertEqual(list(variables), ["datasource", "job", "instance", "stream_key"])
        for variable in ("job", "instance", "stream_key"):
            query = variables[variable]["definition"]
            self.assertIn(re.findall(r"\((\w+)", query)[0], self.known)
        self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))

    def test_layout(self) -> None:
        """No panel of the dashboard lies upon another one, and each has a title."""
        board = json.loads((DEPLOY / "grafana" / "rapidrtmp.json").read_text(encoding="utf-8"))
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertTrue(panel["title"])
            self.assertEqual(cells & taken, set(), panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24)
            taken |= cells

    def test_alerts(self) -> None:
        """Every alert names known metrics, says how grave it is, and what to do."""
        rules = self.rules()
        self.assertGreater(len(rules), 15)
        for rule in rules:
            self.assert_known(rule["expr"])
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
            self.assertEqual(set(rule["annotations"]), {"summary", "description"})
        self.assertEqual(len({rule["alert"] for rule in rules}), len(rules))

    def test_scrape(self) -> None:
        """The example reads the rules, and calls its jobs what the rules call them."""
        text = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
        example = yaml.safe_load(text)
        self.assertEqual(example["rule_files"], ["alerts.yml"])
        jobs = {job["job_name"] for job in example["scrape_configs"]}
        named = {job for rule in self.rules() for job in re.findall(r'job="([^"]+)"', rule["expr"])}
        self.assertEqual(named, jobs)

    def rules(self) -> list[dict[str, Any]]:
        """Return the alert rules."""
        text = (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
        return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def names_of(registry: CollectorRegistry) -> set[str]:
    """Return the names of all series that a registry may show."""
    names = set()
    for metric in registry.collect():
        names |= {sample.name for sample in metric.samples}
    for row in TABLE:
        endings = ("_bucket", "_sum", "_count") if row.kind == "histogram" else ("",)
        names |= {row.name + ending for ending in endings}
    return names


class WordsTests(SynchronousTestCase):
    """The tests above would find a wrong name."""

    def test_words(self) -> None:
        """Series are told from labels, functions and values."""
        for expression, names in [
            ("sum by (a, b) (rate(x_total{a=~'b'}[5m])) > 0.02 * y", {"x_total", "y"}),
            ('x{job="rapidrtmp",i!="b"} >= on (job) group_left () 0.95 * y', {"x", "y"}),
            ("histogram_quantile(0.9, sum by (le) (rate(x_bucket[$r])))", {"x_bucket"}),
            ("x==y", {"x", "y"}),
            ("avg(x)", {"avg", "x"}),
        ]:
            self.assertEqual(words(expression.replace("'", '"')), names)

    def test_labels(self) -> None:
        """The labels of matchers are found."""
        self.assertEqual(labels_of('sum(x{a="b",c=~"d"}) / y'), {("x", "a"), ("x", "c")})
