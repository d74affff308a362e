"""docker-compose.yml goes with the image, the settings and the files that it names."""

import re
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import config
from tests.deploy.manifests import DEPLOY

ROOT = DEPLOY.parent
UNANSWERED = 40
"""Seconds for what does not answer when the server stops: docs/operating.md."""
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
OTHERS = {"STORAGE_EMULATOR_HOST"}
"""Of Google's client."""


def load(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text())


class ComposeTests(SynchronousTestCase):
    """The schema itself is a check of tools/run_tests.py."""

    def setUp(self) -> None:
        """Read it."""
        self.compose = load(ROOT / "docker-compose.yml")
        self.services = self.compose["services"]

    def environment(self, **variables: str) -> dict[str, str]:
        """Give the server's environment, with these variables of the user's."""
        environment = self.services["rapidrtmp"]["environment"]
        return {
            name: VARIABLE.sub(lambda found: variables.get(found[1], found[2]), value)
            for name, value in environment.items()
        }

    def test_settings(self) -> None:
        """The server takes them, with files as with the emulator's bucket."""
        known = {row.name for row in config.TABLE} | OTHERS
        self.assertEqual(set(self.environment()) - known, set())
        self.assertEqual(config.load(self.environment(), {}).storage_type, "local")
        loaded = config.load(self.environment(STORAGE_TYPE="gcs"), {})
        self.assertEqual(loaded.storage_type, "gcs")
        grace = self.services["rapidrtmp"]["stop_grace_period"]
        self.assertEqual(config.kinds.parse_duration(grace), loaded.drain_timeout + UNANSWERED)

    def test_emulator(self) -> None:
        """It has the bucket of the settings, by the address that it tells itself."""
        storage = self.services["storage"]
        options = dict(word.lstrip("-").split("=", 1) for word in storage["command"])
        environment = self.environment()
        self.assertEqual(options["external-url"], environment["STORAGE_EMULATOR_HOST"])
        bucket = f"{options['filesystem-root']}/{environment['GCS_BUCKET_NAME']}"
        self.assertEqual(storage["volumes"], [f"storage:{bucket}"])

    def test_files(self) -> None:
        """What is mounted is there: files of the tree, and volumes."""
        volumes = set(self.compose["volumes"])
        for service in self.services.values():
            for mount in service.get("volumes", ()):
                source = mount.split(":")[0]
                if source.startswith("."):
                    self.assertTrue((ROOT / source).exists(), source)
                else:
                    volumes.discard(source)
                    self.assertIn(source, self.compose["volumes"])
        self.assertEqual(volumes, set(), "made and used by nobody")

    def test_images(self) -> None:
        """Those of others are named by a version; our own server can write its volume alone."""
        server = self.services.pop("rapidrtmp")
        for name, service in self.services.items():
            self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+$", name)
        self.assertTrue(server["read_only"])
        self.assertEqual(server["cap_drop"], ["ALL"])
        said = (ROOT / "Dockerfile").read_text()
        (volume,) = server["volumes"]
        self.assertIn(f"VOLUME {volume.partition(':')[2]}\n", said)

    def test_ports(self) -> None:
        """Only what viewers and encoders need is open to the world."""
        for name, service in self.services.items():
            for port in service.get("ports", ()):
                self.assertEqual(port.startswith("127.0.0.1:"), name != "rapidrtmp", port)

    def test_prometheus(self) -> None:
        """It does what the example does, to the services of this file."""
        example = load(DEPLOY / "prometheus" / "prometheus.yml")
        ours = load(DEPLOY / "compose" / "prometheus.yml")
        text = yaml.safe_dump(ours).replace("blackbox:9115", "localhost:9115")
        self.assertEqual(yaml.safe_load(text.replace("rapidrtmp:8080", "localhost:8080")), example)
        self.assertLessEqual({"rapidrtmp", "blackbox"}, set(self.services))

    def test_grafana(self) -> None:
        """The dashboard is where it is looked for, and so is Prometheus."""
        grafana = self.services["grafana"]
        mounts = dict(mount.split(":")[:2] for mount in grafana["volumes"])
        (provider,) = load(DEPLOY / "compose" / "grafana" / "dashboards.yml")["providers"]
        self.assertEqual(mounts["./deploy/grafana"], provider["options"]["path"])
        home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        self.assertTrue((DEPLOY / "grafana" / Path(home).name).exists())
        (source,) = load(DEPLOY / "compose" / "grafana" / "datasources.yml")["datasources"]
        self.assertEqual((source["type"], source["url"]), ("prometheus", "http://prometheus:9090"))
        self.assertIn("127.0.0.1:9090:9090", self.services["prometheus"]["ports"])
