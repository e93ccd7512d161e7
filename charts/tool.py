#!/usr/bin/env python3
"""Writes what is generated from the chart: its schema of values, the table in its README, the plain manifests.

  tool.py ROOT

Run by `tests/generate`, with the Python of `tests/setup/python.sh` and Helm on the path.
"""

import json
import pathlib
import re
import subprocess
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parent / "foresail"

# Values whose content is Kubernetes' or the user's: any object, any list.
FREE = {"labels", "annotations", "resources", "podAnnotations", "podLabels", "commonLabels"}

# Values with a closed list of words.
WORDS = {
    "image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "operator.logFormat": ["human", "json"],
    "otel.protocol": ["grpc", "http/protobuf"],
    "service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
}

# Values with a form.
PATTERNS = {
    "image.digest": r"^$|^sha256:[0-9a-f]{64}$",
    "operator.interval": r"^[0-9]+(ms|s|m)$",
    "serviceMonitor.interval": r"^[0-9]+(s|m)$",
    "podMonitor.interval": r"^[0-9]+(s|m)$",
    "prometheus.url": r"^$|^https?://",
    "otel.endpoint": r"^$|^https?://",
}

RANGES = {"replicas": (0, 100), "service.port": (1, 65535), "terminationGracePeriodSeconds": (1, 3600)}

# Lists whose entries are known.
ENTRIES = {
    "rbac.scale": {
        "type": "object",
        "required": ["apiGroup", "resource"],
        "additionalProperties": False,
        "properties": {"apiGroup": {"type": "string"}, "resource": {"type": "string", "minLength": 1}},
    },
    "rbac.secrets.names": {"type": "string", "minLength": 1},
    "watchNamespaces": {"type": "string", "minLength": 1},
    "operator.extraArgs": {"type": "string"},
    "networkPolicy.egressPorts": {"type": "integer", "minimum": 1, "maximum": 65535},
    "networkPolicy.from": {"type": "object"},
    "networkPolicy.extraEgress": {"type": "object"},
    "operator.extraEnv": {"type": "object"},
    "extraObjects": {"type": "object"},
    "imagePullSecrets": {"type": "object"},
    "tolerations": {"type": "object"},
    "topologySpreadConstraints": {"type": "object"},
}

KINDS = {"alertReceivers": "AlertReceiver", "healthChecks": "HealthCheck", "scalingCalendars": "ScalingCalendar"}


def descriptions(text):
    """The `# --` comments of values.yaml, by dotted path."""
    found, comment, path = {}, [], []
    for line in text.splitlines():
        if match := re.match(r"\s*# -- (.*)", line):
            comment = [match[1]]
        elif match := re.match(r"(\s*)([A-Za-z][A-Za-z0-9]*):", line):
            depth = len(match[1]) // 2
            path = path[:depth] + [match[2]]
            if comment:
                found[".".join(path)] = " ".join(comment)
            comment = []
        elif comment and (match := re.match(r"\s*# (.*)", line)):
            comment.append(match[1])
    return found


def leaves(values, path=""):
    """Path and default of every value that a user sets: maps that are the user's own count as one."""
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and key not in FREE:
            yield from leaves(value, here)
        else:
            yield here, value


def schema(value, path, texts):
    """The JSON schema of one value, from its default."""
    key = path.rsplit(".", 1)[-1]
    made = {}
    if text := texts.get(path):
        made["description"] = text
    if isinstance(value, dict):
        made["type"] = "object"
        if path in KINDS:
            made["additionalProperties"] = {"type": "object"}
        elif value and key not in FREE:
            names = {name: schema(inner, f"{path}.{name}" if path else name, texts) for name, inner in value.items()}
            made |= {"properties": names, "additionalProperties": False}
    elif isinstance(value, list):
        made |= {"type": "array"} | ({"items": ENTRIES[path]} if path in ENTRIES else {})
    elif isinstance(value, bool):
        made["type"] = "boolean"
    elif isinstance(value, int):
        made["type"] = "integer"
        if path in RANGES:
            made |= dict(zip(("minimum", "maximum"), RANGES[path]))
    else:
        made["type"] = "string"
        if path in WORDS:
            made["enum"] = WORDS[path]
        if path in PATTERNS:
            made["pattern"] = PATTERNS[path]
    return made


def values_schema():
    text = (CHART / "values.yaml").read_text()
    values, texts = yaml.safe_load(text), descriptions(text)
    missing = [path for path, _ in leaves(values) if path not in texts]
    if missing:
        sys.exit(f"values.yaml: no `# --` description for {', '.join(missing)}")
    made = schema(values, "", texts)
    # Charts that depend on this one pass these along.
    made["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the Foresail chart"} | made


def values_table():
    text = (CHART / "values.yaml").read_text()
    values, texts = yaml.safe_load(text), descriptions(text)
    lines = ["| value | default | what |", "|---|---|---|"]
    for path, default in leaves(values):
        shown = json.dumps(default).replace("|", "\\|")
        lines.append(f"| `{path}` | `{shown}` | {texts[path].replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def render(release, namespace):
    """Every object of the chart with its defaults, in an order in which they can be applied."""
    command = ["helm", "template", release, str(CHART), "--namespace", namespace]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    objects = [one for one in yaml.safe_load_all(text) if one]
    first = ["CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"]
    return sorted(objects, key=lambda one: first.index(one["kind"]) if one["kind"] in first else len(first))


class Dumper(yaml.SafeDumper):
    """Lists are indented, and long texts are kept as they are written."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def text_of(objects):
    return "".join("---\n" + yaml.dump(one, Dumper=Dumper, sort_keys=False, width=120) for one in objects)


def manifests():
    """The chart with its defaults, for `kubectl apply`: without the labels that say Helm."""
    release = namespace = "foresail"
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}]
    for one in render(release, namespace):
        labels = one["metadata"].get("labels", {})
        labels.pop("helm.sh/chart", None)
        labels.pop("app.kubernetes.io/managed-by", None)
        one["metadata"].get("annotations", {}).pop("helm.sh/resource-policy", None)
        if not one["metadata"].get("annotations", True):
            del one["metadata"]["annotations"]
        template = one.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
        template.pop("helm.sh/chart", None)
        template.pop("app.kubernetes.io/managed-by", None)
        objects.append(one)
    return "# Generated from charts/foresail with its default values: run `just generate`.\n" + text_of(objects)


def write(root):
    chart = root / "charts/foresail"
    (chart / "values.schema.json").write_text(json.dumps(values_schema(), indent=2) + "\n")
    readme = chart / "README.md"
    before, _, rest = readme.read_text().partition("<!-- values -->\n")
    _, _, after = rest.partition("<!-- end of values -->\n")
    readme.write_text(f"{before}<!-- values -->\n{values_table()}\n<!-- end of values -->\n{after}")
    (root / "deploy").mkdir(exist_ok=True)
    (root / "deploy/foresail.yaml").write_text(manifests())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(pathlib.Path(sys.argv[1]))
