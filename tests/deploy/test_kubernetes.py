"""What kustomize and Helm make is what Kubernetes takes, and what the server needs."""

import copy
import functools
import os
import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from jsonschema import ValidationError  # type: ignore[import-untyped]  # no annotations
from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp import __version__, config
from tests.deploy import manifests
from tests.deploy.manifests import CHART, DEPLOY, KUSTOMIZE, Manifest

ROOT = DEPLOY.parent
COMPONENTS = tuple(
    sorted(f"components/{path.name}" for path in (KUSTOMIZE / "components").iterdir())
)
OVERLAYS = tuple(sorted(f"overlays/{path.name}" for path in (KUSTOMIZE / "overlays").iterdir()))
UNANSWERED = 40
"""Seconds for what does not answer when the server stops: docs/operating.md."""
KEY = "0123456789abcdef"

VALUES: dict[str, Manifest] = {
    "default": {},
    "all": {
        "settings": {"HLS_MAX_SEGMENTS": 1000, "PUBLIC_STREAM_LIST": False},
        "secrets": {"values": {"API_KEYS": KEY, "PLAYBACK_SECRET": KEY}},
        "imagePullSecrets": [{"name": "registry"}],
        "drainSeconds": 60,
        "preStopSeconds": 10,
        "persistence": {"enabled": True, "storageClass": "fast"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "service": {"annotations": {"a": "b"}},
        "rtmpService": {"loadBalancerSourceRanges": ["192.0.2.0/24"], "annotations": {"a": "b"}},
        "rtmps": {"enabled": True, "secretName": "certificate"},
        "ingress": {
            "enabled": True, "className": "nginx", "tlsSecret": "certificate", "api": True,
            "annotations": {"a": "b"}, "trustedProxies": "10.0.0.0/8",
        },
        "networkPolicy": {"egress": [{"ports": [{"port": 443}]}]},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboard": {"enabled": True},
        "edge": {"enabled": True, "streams": ["show", "news"], "settings": {"HLS_MAX_SEGMENTS": 6}},
        "podLabels": {"a": "b"},
        "priorityClassName": "high",
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
    },
    "gcs": {
        "settings": {
            "STORAGE_TYPE": "gcs", "GCS_PROJECT_ID": "my-project", "GCS_BUCKET_NAME": "my-bucket",
        },
        "secrets": {"existing": "mine", "names": ["API_KEYS"]},
        "persistence": {"enabled": True, "existingClaim": "mine"},
    },
    "little": {
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "rtmpService": {"enabled": False},
        "service": {"type": "LoadBalancer"},
        "serviceAccount": {"create": False},
    },
}  # fmt: skip


@functools.cache
def built(name: str) -> list[Manifest]:
    """Give what a directory of deploy/kubernetes makes."""
    return manifests.kustomize(KUSTOMIZE / name)


def of(kind: str, objects: list[Manifest]) -> list[Manifest]:
    """Give the objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def names(kind: str, objects: list[Manifest]) -> set[str]:
    """Give the names of the objects of a kind."""
    return {each["metadata"]["name"] for each in of(kind, objects)}


def seconds(duration: str) -> float:
    """Read a duration of the settings."""
    return config.kinds.parse_duration(duration)


class ManifestCase(SynchronousTestCase):
    """Judges the objects that make a server, and those around it."""

    def judge(self, objects: list[Manifest]) -> None:
        """They are valid, they name one another, and the pods are what they should be."""
        self.assertTrue(of("Deployment", objects))
        for version in manifests.versions():
            for each in objects:
                if each["kind"] not in manifests.OPERATOR:
                    manifests.validate(each, version)
        identities = [(each["kind"], each["metadata"]["name"]) for each in objects]
        self.assertEqual(len(set(identities)), len(identities))
        pods = [each["spec"]["template"] for each in of("Deployment", objects)]
        for deployment in of("Deployment", objects):
            self.judge_pod(deployment, objects)
        self.judge_selectors(objects, [pod["metadata"]["labels"] for pod in pods])
        for each in of("HorizontalPodAutoscaler", objects):
            target = each["spec"]["scaleTargetRef"]["name"]
            (scaled,) = [it for it in of("Deployment", objects) if it["metadata"]["name"] == target]
            # An autoscaler of servers that take streams would split their streams up.
            self.assertNotIn("replicas", scaled["spec"])
            (settings,) = [
                it["data"] for it in of("ConfigMap", objects)
                if it["metadata"]["name"] == self.settings_name(scaled)
            ]  # fmt: skip
            self.assertIn("RELAY_PULL_ON_DEMAND", settings)
            self.assertEqual(settings["STORAGE_TYPE"], "memory")
        for each in of("Ingress", objects):
            self.judge_ingress(each, objects)

    def judge_selectors(self, objects: list[Manifest], labels: list[dict[str, str]]) -> None:
        """Whatever selects pods selects those of one Deployment, and ports are theirs."""
        selectors = [(each, each["spec"]["selector"]) for each in of("Service", objects)]
        for kind, word in [
            ("Deployment", "selector"), ("PodDisruptionBudget", "selector"),
            ("NetworkPolicy", "podSelector"),
        ]:  # fmt: skip
            selectors += [(each, each["spec"][word]["matchLabels"]) for each in of(kind, objects)]
        for each, selector in selectors:
            selected = [it for it in labels if selector.items() <= it.items()]
            self.assertEqual(len(selected), 1, each)
        for monitor in of("ServiceMonitor", objects):
            self.judge_monitor(monitor, objects)

    def judge_monitor(self, monitor: Manifest, objects: list[Manifest]) -> None:
        """It finds the Services with HTTP; Prometheus calls the job what the alerts call it."""
        spec = monitor["spec"]
        self.assertEqual(monitor["apiVersion"], "monitoring.coreos.com/v1")
        (endpoint,) = spec["endpoints"]
        self.assertEqual((endpoint["port"], endpoint["path"]), ("http", "/metrics"))
        wanted = spec["selector"]["matchLabels"].items()
        found = [
            each
            for each in of("Service", objects)
            if wanted <= each["metadata"]["labels"].items()
            and "http" in [port["name"] for port in each["spec"]["ports"]]
        ]
        with_http = [
            each for each in of("Service", objects)
            if "http" in [port["name"] for port in each["spec"]["ports"]]
        ]  # fmt: skip
        self.assertEqual(found, with_http)
        self.assertEqual(
            {each["metadata"]["labels"][spec["jobLabel"]] for each in found}, {"rapidrtmp"}
        )

    def judge_ingress(self, ingress: Manifest, objects: list[Manifest]) -> None:
        """It leads to a Service that is there, and never to /metrics."""
        (rule,) = ingress["spec"]["rules"]
        paths = {path["path"]: path for path in rule["http"]["paths"]}
        self.assertLessEqual({"/", "/live", "/player", "/static", "/streams.json"}, set(paths))
        self.assertEqual(paths["/"]["pathType"], "Exact")
        for path in paths.values():
            service = path["backend"]["service"]
            self.assertIn(service["name"], names("Service", objects))
            self.assertEqual(service["port"], {"name": "http"})

    def settings_name(self, deployment: Manifest) -> str:
        """Give the name of the ConfigMap with a server's settings."""
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (source,) = container["envFrom"]
        return str(source["configMapRef"]["name"])

    def judge_pod(self, deployment: Manifest, objects: list[Manifest]) -> None:
        """Image, rights, probes, end and volumes of a server fit one another and the image."""
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        said = dockerfile()
        self.assert_restricted(pod, container)
        self.assertEqual(str(pod["securityContext"]["runAsUser"]), said["USER"])
        self.assertTrue(container["image"].startswith("rapidrtmp:"))
        self.assertIn(container["image"].partition(":")[2], (__version__, "dev"))
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe, path in [
            ("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready"),
        ]:  # fmt: skip
            self.assertEqual(container[probe]["httpGet"], {"path": path, "port": "http"})
        (settings,) = [
            each["data"] for each in of("ConfigMap", objects)
            if each["metadata"]["name"] == self.settings_name(deployment)
        ]  # fmt: skip
        self.judge_settings(settings, ports)
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        self.assertEqual(command[0], "sleep")
        end = int(command[1]) + seconds(settings["DRAIN_TIMEOUT"]) + UNANSWERED
        self.assertEqual(pod["terminationGracePeriodSeconds"], end)
        self.assertIn("memory", container["resources"]["limits"])
        self.assertIn("cpu", container["resources"]["requests"])
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        for each in of("Service", objects):
            if each["spec"]["selector"].items() <= labels.items():
                for port in each["spec"]["ports"]:
                    self.assertIn(port["targetPort"], ports)
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        self.assertEqual(set(mounts), {volume["name"] for volume in pod["volumes"]})
        self.assertEqual(mounts["data"], said["VOLUME"])
        for volume in pod["volumes"]:
            claim = volume.get("persistentVolumeClaim")
            if claim is not None and claim["claimName"] != "mine":
                self.assertIn(claim["claimName"], names("PersistentVolumeClaim", objects))
                # the former pod must have let go of it
                self.assertEqual(deployment["spec"]["strategy"], {"type": "Recreate"})
        account = pod["serviceAccountName"]
        self.assertIn(account, {*names("ServiceAccount", objects), "default"})
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            self.assertEqual(deployment["spec"]["replicas"], 1)

    def assert_restricted(self, pod: Manifest, container: Manifest) -> None:
        """It keeps to the Pod Security Standard `restricted`, and writes its volume alone."""
        security = pod["securityContext"]
        self.assertTrue(security["runAsNonRoot"])
        self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual(
            container["securityContext"],
            {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        )
        self.assertFalse({"hostNetwork", "hostPID", "hostIPC"} & set(pod))
        self.assertIs(pod["automountServiceAccountToken"], False)
        for volume in pod["volumes"]:
            self.assertLess(set(volume) - {"name"}, {"emptyDir", "persistentVolumeClaim", "secret"})

    def judge_settings(self, settings: dict[str, str], ports: dict[str, int]) -> None:
        """The server itself takes them, and listens where the ports are."""
        place = Path(self.mktemp())
        place.mkdir()
        here = {}
        for name, value in settings.items():
            self.assertIsInstance(value, str)
            if name.endswith("_FILE"):
                file = place / name.removesuffix("_FILE")
                self.assertEqual(value, f"/run/secrets/rapidrtmp/{file.name}")
                file.write_text(KEY)
                value = str(file.absolute())
            here[name] = value
        known = {row.name for row in config.TABLE} | {f"{row.name}_FILE" for row in config.TABLE}
        self.assertEqual(set(settings) - known, set())
        loaded = config.load(here, {})
        self.assertEqual(loaded.http_addr, f":{ports['http']}")
        self.assertEqual(loaded.rtmp_addr, f":{ports['rtmp']}")
        if "rtmps" in ports:
            self.assertEqual(loaded.rtmps_addr, f":{ports['rtmps']}")


def documented() -> list[Manifest]:
    """Give the YAML of docs/howto/deploy-kubernetes.md."""
    page = (ROOT / "docs" / "howto" / "deploy-kubernetes.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [each for block in blocks for each in manifests.parse(block)]


@functools.cache
def dockerfile() -> dict[str, str]:
    """Give what the last stage of the Dockerfile says, by instruction."""
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    return dict(re.findall(r"^([A-Z]+) +(.*)$", last, re.MULTILINE))


class KustomizeTests(ManifestCase):
    """deploy/kubernetes."""

    def test_overlays(self) -> None:
        """The base and each overlay make a server."""
        for name in ("base", *OVERLAYS):
            with self.subTest(name):
                self.judge(built(name))

    def test_components(self) -> None:
        """All components together go with the base."""
        place = Path(self.mktemp())
        place.mkdir()
        objects = manifests.kustomize_with(place, "base", *COMPONENTS)
        self.judge(objects)
        self.assertLessEqual(
            {"PersistentVolumeClaim", "Ingress", "ServiceMonitor"},
            {each["kind"] for each in objects},
        )
        (deployment,) = of("Deployment", objects)
        volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
        self.assertEqual(volumes["keys"]["secret"]["secretName"], "rapidrtmp-keys")

    def test_documented(self) -> None:
        """The overlay that the documentation shows makes a server."""
        (written,) = [each for each in documented() if each.get("kind") == "Kustomization"]
        place = Path(self.mktemp())
        place.mkdir()
        for name in ("resources", "components"):
            written[name] = [
                os.path.relpath((KUSTOMIZE / "overlays" / "mine" / path).resolve(), place)
                for path in written[name]
            ]
        (place / "kustomization.yaml").write_text(yaml.safe_dump(written))
        objects = manifests.kustomize(place)
        (deployment,) = of("Deployment", objects)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.assertEqual(container["image"], f"registry.example.com/rapidrtmp:{__version__}")
        container["image"] = f"rapidrtmp:{__version__}"
        self.judge(objects)

    def test_edge_beside_origin(self) -> None:
        """Edges stand beside another overlay: no name twice, no pod selected by two."""
        objects = built("overlays/persistent") + built("overlays/edge")
        self.judge(objects)
        (edge,) = [each for each in of("ConfigMap", objects) if "edge" in each["metadata"]["name"]]
        for host in re.findall(r"rtmp://([a-z-]+):1935", edge["data"]["RELAY_PULL_ON_DEMAND"]):
            self.assertIn(host, names("Service", objects))


class HelmTests(ManifestCase):
    """deploy/helm."""

    def test_values(self) -> None:
        """Whatever the values, it is a server."""
        for name, values in VALUES.items():
            with self.subTest(name):
                self.judge(manifests.helm(values))
                self.judge(manifests.helm(values, name="another"))

    def test_documented(self) -> None:
        """The values that the documentation shows make a server, with all that they ask for."""
        (values,) = [each for each in documented() if "kind" not in each]
        objects = manifests.helm(values)
        self.judge(objects)
        kinds = {each["kind"] for each in objects}
        self.assertLessEqual({"Ingress", "ServiceMonitor", "PrometheusRule"}, kinds)

    def test_lint(self) -> None:
        """Helm's own judge has nothing to say but that there is no icon."""
        for values in VALUES.values():
            report = manifests.helm_sdk().lint(CHART, values, strict=True, kube_version="v1.30.0")
            self.assertEqual(report["errors"], [])
            said = {message["error"] for message in report["messages"]}
            self.assertLessEqual(said, {"icon is recommended"})

    def test_agrees_with_kustomize(self) -> None:
        """By default both make the same server, but for labels and the ConfigMap's name."""
        self.assertEqual(essence(manifests.helm()), essence(built("base")))

    def test_gcs_agrees_with_kustomize(self) -> None:
        """So they do for a bucket: what may be called, and by whose identity."""
        account = "iam.gke.io/gcp-service-account"
        theirs = built("overlays/gcs")
        (identity,) = [each["metadata"]["annotations"] for each in of("ServiceAccount", theirs)]
        ours = manifests.helm(VALUES["gcs"] | {"serviceAccount": {"annotations": identity}})
        self.assertIn(account, identity)
        self.assertEqual(
            [each["metadata"]["annotations"] for each in of("ServiceAccount", ours)], [identity]
        )
        for objects in (ours, theirs):
            (policy,) = of("NetworkPolicy", objects)
            ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
            self.assertEqual(ports, {53, 443, 80, 988})

    def test_edge_agrees_with_kustomize(self) -> None:
        """So they do for edges."""
        ours = manifests.helm({"edge": {"enabled": True, "streams": ["show"]}})
        is_edge = "app.kubernetes.io/component"
        ours = [each for each in ours if each["metadata"]["labels"].get(is_edge) == "edge"]
        theirs = essence(built("overlays/edge"))
        for settings in (theirs[("ConfigMap", "rapidrtmp-edge")],):
            # where nobody publishes nobody asks for the address
            del settings["data"]["RTMP_INGEST_ADDR"]
        expected = {name: each for name, each in theirs.items() if name[0] != "ServiceAccount"}
        spec = expected[("Deployment", "rapidrtmp-edge")]["spec"]["template"]["spec"]
        spec["serviceAccountName"] = "rapidrtmp"  # Helm's edges share it
        got = essence(ours)
        for objects in (got, expected):
            objects[("Service", "rapidrtmp-edge")]["spec"].pop("type", None)
        self.assertEqual(got, expected)

    def test_alerts_and_dashboard(self) -> None:
        """They are those of deploy/, word for word."""
        objects = manifests.helm(VALUES["all"])
        (rules,) = of("PrometheusRule", objects)
        self.assertEqual(rules["apiVersion"], "monitoring.coreos.com/v1")
        alerts = (DEPLOY / "prometheus" / "alerts.yml").read_text()
        self.assertEqual(rules["spec"], yaml.safe_load(alerts))
        boards = [
            each["data"] for each in of("ConfigMap", objects) if "rapidrtmp.json" in each["data"]
        ]
        expected = (DEPLOY / "grafana" / "rapidrtmp.json").read_text().strip()
        self.assertEqual([board["rapidrtmp.json"].strip() for board in boards], [expected])

    def test_secrets(self) -> None:
        """Keys are in a Secret, in no setting, and other keys are other pods."""
        first, second = (
            manifests.helm({"secrets": {"values": {"API_KEYS": key}}}) for key in (KEY, KEY + "0")
        )
        (secret,) = of("Secret", first)
        self.assertEqual(secret["stringData"], {"API_KEYS": KEY})
        self.assertNotIn(KEY, str(of("ConfigMap", first) + of("Deployment", first)))
        annotations = [
            each["spec"]["template"]["metadata"]["annotations"]
            for each in of("Deployment", first + second)
        ]
        self.assertNotEqual(*(each["checksum/secrets"] for each in annotations))
        self.assertEqual(*(each["checksum/settings"] for each in annotations))

    def test_relays_are_the_origins(self) -> None:
        """Edges get no relay's keys: they would push every stream once more."""
        objects = manifests.helm(
            {
                "secrets": {"existing": "mine", "names": ["API_KEYS", "RELAY_PUSH"]},
                "edge": {"enabled": True, "streams": ["show"]},
            }
        )
        settings = {each["metadata"]["name"]: each["data"] for each in of("ConfigMap", objects)}
        self.assertIn("RELAY_PUSH_FILE", settings["rapidrtmp"])
        self.assertNotIn("RELAY_PUSH_FILE", settings["rapidrtmp-edge"])
        self.assertIn("API_KEYS_FILE", settings["rapidrtmp-edge"])

    def test_numbers(self) -> None:
        """A large number stays what it is."""
        (settings,) = [
            each["data"]
            for each in of("ConfigMap", manifests.helm({"settings": {"GOP_CACHE_BYTES": 16000000}}))
        ]
        self.assertEqual(settings["GOP_CACHE_BYTES"], "16000000")

    def test_refused(self) -> None:
        """What makes no sense is refused, with words that name it."""
        refused: list[tuple[Manifest, str]] = [
            ({"replicas": 3}, "replicas"),
            ({"settings": {"API_KEYS": KEY}}, "API_KEYS"),
            ({"settings": {"DRAIN_TIMEOUT": "1s"}}, "DRAIN_TIMEOUT"),
            ({"settings": {"hls": "1s"}}, "hls"),
            ({"secrets": {"values": {"PASSWORD": "x"}}}, "PASSWORD"),
            ({"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable"),
            ({"edge": {"enabled": True}}, "edge.streams"),
            ({"edge": {"enabled": True, "streams": ["a b"]}}, "streams"),
            ({"rtmps": {"enabled": True}}, "rtmps.secretName"),
        ]
        for values, word in refused:
            error = self.assertRaises(manifests.helm_sdk().HelmError, manifests.helm, values)
            self.assertIn(word, str(error))

    def test_notes(self) -> None:
        """What Helm prints tells what is missing, and only that."""
        notes = manifests.render()["NOTES.txt"]
        for words in (
            "exec deploy/rapidrtmp -- rapidrtmp token show",
            "persistence",
            "no API keys",
        ):
            self.assertIn(words, notes)
        notes = manifests.render(VALUES["all"])["NOTES.txt"]
        self.assertIn("https://live.example.com/player/show", notes)
        for words in ("persistence", "no API keys", "trustedProxies"):
            self.assertNotIn(words, notes)

    def test_versions(self) -> None:
        """The chart installs the server of this tree."""
        metadata = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual(metadata["appVersion"], __version__)


def essence(objects: list[Manifest]) -> dict[tuple[str, str], dict[str, Any]]:
    """Give objects by kind and name, without labels, checksums and what stands for no value."""
    hashed = {name: re.sub(r"-[a-z0-9]{10}$", "", name) for name in names("ConfigMap", objects)}
    found = {}
    for each in objects:
        name = hashed.get(each["metadata"]["name"], each["metadata"]["name"])
        found[each["kind"], name] = bare({k: v for k, v in each.items() if k != "metadata"}, hashed)
    return found


def bare(value: Any, hashed: dict[str, str]) -> Any:
    """Take the words of the tools out of a part of an object."""
    if isinstance(value, dict):
        kept = {
            key: bare(part, hashed)
            for key, part in value.items()
            if not key.startswith(("checksum/", "app.kubernetes.io/"))
        }
        if kept.get("type") == "ClusterIP":
            del kept["type"]  # what a Service is by itself
        return kept
    if isinstance(value, list):
        return [bare(part, hashed) for part in value]
    return hashed.get(value, value) if isinstance(value, str) else value


class JudgeTests(ManifestCase):
    """The tests above would find what is wrong."""

    def spoiled(self, change: Callable[[Manifest], object]) -> list[Manifest]:
        """Give the base with its Deployment changed."""
        objects = copy.deepcopy(built("base"))
        change(of("Deployment", objects)[0]["spec"])
        return objects

    def test_bad(self) -> None:
        """A wrong field, right, time, selector or setting is found."""
        self.judge(self.spoiled(lambda spec: None))
        changes: list[Callable[[Manifest], object]] = [
            lambda spec: spec.update(replica=1),
            lambda spec: spec.update(replicas="1"),
            lambda spec: spec.update(replicas=2),
            lambda spec: spec["selector"]["matchLabels"].update(a="b"),
            lambda spec: spec["template"]["spec"].update(terminationGracePeriodSeconds=30),
            lambda spec: spec["template"]["spec"].update(hostNetwork=True),
            lambda spec: spec["template"]["spec"]["containers"][0].update(image="rapidrtmp:latest"),
            lambda spec: spec["template"]["spec"]["containers"][0]["ports"].pop(),
            lambda spec: spec["template"]["spec"]["volumes"].clear(),
        ]
        for number, change in enumerate(changes):
            with self.subTest(number):
                objects = self.spoiled(change)
                errors = (ValidationError, self.failureException, KeyError)
                self.assertRaises(errors, self.judge, objects)

    def test_everything_is_judged(self) -> None:
        """Every kustomization is one of those above, and every kind in them has a schema."""
        files = KUSTOMIZE.rglob("kustomization.yaml")
        found = {path.parent.relative_to(KUSTOMIZE) for path in files}
        self.assertEqual(found, {Path(name) for name in ("base", *OVERLAYS, *COMPONENTS)})
        kinds = {each["kind"] for each in chain(*(built(name) for name in ("base", *OVERLAYS)))}
        self.assertEqual(kinds & manifests.OPERATOR, set())
