"""Manifests of Kubernetes as kustomize and Helm make them, and what they are judged by."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no annotations
import kubernetes_validate
import yaml
from kubernetes_validate import utils
from twisted.trial.unittest import SkipTest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUSTOMIZE = DEPLOY / "kubernetes"
CHART = DEPLOY / "helm" / "rapidrtmp"

OPERATOR = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, of which no package has the schemas."""

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C takes a tenth of the time."""

Manifest = dict[str, Any]


def parse(text: str) -> list[Manifest]:
    """Read the documents of a YAML stream."""
    return [document for document in yaml.load_all(text, LOADER) if document]


def kustomize(directory: Path) -> list[Manifest]:
    """Build a kustomization, with the kustomize of kubectl."""
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [str(kubectl), "kustomize", str(directory)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{directory}: {done.stderr}")
    return parse(done.stdout)


def kustomize_with(place: Path, *parts: str) -> list[Manifest]:
    """Build a kustomization of our own, as a user would write it.

    Args:
        place: an empty directory for it.
        parts: directories of deploy/kubernetes: resources, but for those in components/.
    """
    content: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [],
        "components": [],
    }
    for part in parts:
        kind = "components" if part.startswith("components/") else "resources"
        content[kind].append(os.path.relpath(KUSTOMIZE / part, place))
    (place / "kustomization.yaml").write_text(json.dumps(content))
    return kustomize(place)


def helm_sdk() -> Any:
    """Load Helm.

    Raises:
        SkipTest: there is none for this machine.
    """
    try:
        import helm_python
    except ImportError:
        raise SkipTest("PyPI has no wheel of helm-python-sdk for this machine") from None
    return helm_python


@functools.cache
def chart() -> Any:
    """Load the chart by Helm."""
    return helm_sdk().Chart.load(CHART)


def render(values: Manifest | None = None, name: str = "rapidrtmp") -> dict[str, str]:
    """Render the chart; give the texts by the names of the templates.

    Raises:
        HelmError: the values are refused.
    """
    chart().validate_schema(values or {})
    rendered: dict[str, str] = chart().render(values or {}, name=name, namespace="live")
    return {path.rpartition("/")[2]: text for path, text in rendered.items()}


def helm(values: Manifest | None = None, name: str = "rapidrtmp") -> list[Manifest]:
    """Render the chart; give what is sent to the cluster."""
    texts = render(values, name)
    return [
        manifest
        for path, text in texts.items()
        if path.endswith(".yaml")
        for manifest in parse(text)
    ]


@functools.cache
def _validator(version: str, schema: str) -> jsonschema.Draft202012Validator:
    """Make the validator of one kind; the package itself reads its files for each object."""
    directory = f"kubernetes-json-schema/v{version}-local-strict"
    registry = _definitions(version)
    resource = utils.Resource.from_contents(
        utils.schema_contents(f"{directory}/{schema}.json", version)
    )
    return jsonschema.Draft202012Validator(resource.contents, registry=resource @ registry)


@functools.cache
def _definitions(version: str) -> Any:
    path = f"kubernetes-json-schema/v{version}-local-strict/_definitions.json"
    resource = utils.Resource.from_contents(utils.schema_contents(path, version))
    return resource @ utils.Registry()


def validate(manifest: Manifest, version: str) -> None:
    """Judge an object by the schemas of a version of Kubernetes; no other field is allowed.

    Raises:
        ValidationError: it is not valid.
    """
    group, _, number = manifest["apiVersion"].rpartition("/")
    parts = [manifest["kind"].lower(), group.partition(".")[0], number]
    name = "-".join(part for part in parts if part)
    _validator(version, name).validate(manifest)


def versions() -> tuple[str, str]:
    """Give the oldest and the newest version of Kubernetes that there are schemas of."""
    all_of_them = utils.all_versions()
    return all_of_them[0], kubernetes_validate.latest_version()
