"""What pods have in common: keys from a secret, folders that may be written, and no rights."""

from typing import Any

PORT = 8000
"""The gateway's."""
KEYS = "/zoo/keys"
"""Where the gateway of a container looks for api_keys.json (the Containerfile's WORKDIR)."""
WRITABLE = {"runs": "/zoo/runs", "tmp": "/tmp"}
"""Volumes for what a server writes: logs, its tokens, and files of the page."""
USER = 1000
"""The Containerfile's user: a number, or the cluster cannot know that it is not root."""


def volumes(name: str) -> list[dict[str, Any]]:
    """The volumes of a pod. The secret holds hashes of keys, and no key."""
    keys = {"name": "keys", "secret": {"secretName": f"{name}-keys", "defaultMode": 0o444}}
    return [keys, *({"name": volume, "emptyDir": {}} for volume in WRITABLE)]


def mounts() -> list[dict[str, Any]]:
    """Where a container has the volumes."""
    keys = {"name": "keys", "mountPath": KEYS, "readOnly": True}
    return [keys, *({"name": volume, "mountPath": path} for volume, path in WRITABLE.items())]


def password(name: str, events: str) -> list[dict[str, Any]]:
    """The environment in which a container reaches the database of events: its password, by a secret."""
    secret = {"name": f"{name}-events", "key": "password"}
    return [{"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": secret}}] if events else []


def security() -> dict[str, Any]:
    """A container that can write to its volumes alone, and become nobody else."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def probe(path: str, period: int, failures: int) -> dict[str, Any]:
    """A probe of the gateway, which needs no key: every `period` seconds; so many failures are one too many."""
    return {
        "httpGet": {"path": path, "port": PORT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def labels(name: str, component: str) -> dict[str, str]:
    """Kubernetes' recommended labels, but for the application's name: KubeRay finds its own pods by that."""
    return {"app.kubernetes.io/instance": name, "app.kubernetes.io/component": component}
