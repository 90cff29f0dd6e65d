"""KubeRay: a RayService, in which Ray Serve has the archives on as many machines as it needs."""

from typing import Any

import yaml

from gateway.manifests import pods
from gateway.manifests.settings import Settings
from lesions.errors import UserError
from zoo.serving.ray.settings import DOOR_CPUS

RAY_VERSION = "2.60.0"
"""The image's: deploy/Containerfile.ray."""
FOLDER = "/archives"
"""Where pods have a claim's files."""
CPUS_OF_A_REPLICA = 0.05
"""What one of a version reserves: most versions wait most of the time, and one that is busy gets more replicas."""
ENVIRONMENT = {
    "PYTHONPATH": "/zoo",
    "XDG_CACHE_HOME": "/tmp/cache",  # where archives of a bucket are kept
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",
}
HEAD = {"cpu": "1", "memory": "3Gi"}
WORKER = {"cpu": "2", "memory": "8Gi"}
"""28 versions of b0 at 224 px, a replica of each, are some 6 GiB (docs/scaling.md)."""
MOST_ENTRIES = round((float(WORKER["cpu"]) - DOOR_CPUS) / CPUS_OF_A_REPLICA)
"""So many replicas, and the door, have room on a worker; there are as many workers as replicas of each version."""


def service(settings: Settings) -> dict[str, Any]:
    """The service: a head that serves nothing itself, and workers that come and go with the replicas.

    Raises `UserError` where the workers have no room for the entries.
    """
    if len(settings.entries or ()) > MOST_ENTRIES:
        raise UserError(
            f"ENTRIES: {len(settings.entries or ())} are more than workers have room for, {MOST_ENTRIES}; name fewer, "
            "or let other manifests serve the rest"
        )
    least, most = settings.replicas
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {
            "name": settings.name,
            "labels": {"app.kubernetes.io/name": "lesion-zoo", **pods.labels(settings.name, "ray")},
        },
        "spec": {
            "serveConfigV2": yaml.safe_dump(serve_config(settings), sort_keys=False),
            "rayClusterConfig": {
                "rayVersion": RAY_VERSION,
                "authOptions": {"mode": "token"},  # the operator makes a secret, and all of Ray's ports want it
                "enableInTreeAutoscaling": True,
                "headGroupSpec": {
                    "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0"},
                    "template": _pod(settings, "ray-head", HEAD),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": least,
                        "minReplicas": least,
                        "maxReplicas": most,
                        "rayStartParams": {},
                        "template": _pod(settings, "ray-worker", WORKER),
                    }
                ],
            },
        },
    }


def serve_config(settings: Settings) -> dict[str, Any]:
    """Ray Serve's own configuration (`ray.serve.schema.ServeDeploySchema`)."""
    claim = _claim(settings)
    least, most = settings.replicas
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": pods.PORT},
        "applications": [
            {
                "name": "lesion-zoo",
                "route_prefix": "/",
                "import_path": "zoo.serving.ray.application:build",
                "args": {
                    "archives": f"{FOLDER}/{claim[1]}".rstrip("/") if claim else settings.archives,
                    "entries": list(settings.entries) if settings.entries else None,
                    "replicas": str(least) if least == most else f"{least}-{most}",
                    "cpus": CPUS_OF_A_REPLICA,
                    # Its defaults: keys in /zoo/keys, where the secret is.
                    "gateway": {"events": settings.events} if settings.events else None,
                },
            }
        ],
    }


def _claim(settings: Settings) -> tuple[str, str] | None:
    """The claim that archives are in, and the folder there; none for a bucket."""
    scheme, _, place = settings.archives.partition("://")
    name, _, folder = place.partition("/")
    return (name, folder) if scheme == "pvc" else None


def _pod(settings: Settings, container: str, resources: dict[str, str]) -> dict[str, Any]:
    volumes, mounts = pods.volumes(settings.name), pods.mounts()
    if claim := _claim(settings):
        source = {"claimName": claim[0], "readOnly": True}
        volumes.append({"name": "archives", "persistentVolumeClaim": source})
        mounts.append({"name": "archives", "mountPath": FOLDER, "readOnly": True})
    ports = {"gcs-server": 6379, "dashboard": 8265, "client": 10001} if container == "ray-head" else {}
    return {
        "metadata": {"labels": pods.labels(settings.name, container)},
        "spec": {
            "automountServiceAccountToken": container == "ray-head",  # whose autoscaler asks the cluster for pods
            "containers": [
                {
                    "name": container,
                    "image": settings.ray_image,
                    "env": [
                        *({"name": name, "value": value} for name, value in ENVIRONMENT.items()),
                        *pods.password(settings.name, settings.events),
                    ],
                    "ports": [
                        {"name": name, "containerPort": port} for name, port in {**ports, "serve": pods.PORT}.items()
                    ],
                    "resources": {"requests": resources, "limits": resources},
                    "securityContext": pods.security(),
                    "volumeMounts": mounts,
                }
            ],
            "volumes": volumes,
        },
    }
