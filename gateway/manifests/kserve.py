"""KServe: an InferenceService of the `local` container, behind its gateway."""

from typing import Any

from gateway.manifests import pods
from gateway.manifests.settings import Settings

MODELS = "/mnt/models"
"""Where KServe's storage initializer puts what `STORAGE_URI` names."""
CPUS = 2
"""So many pictures are answered at a time: `zoo.serving.local.threads.processors`."""
MEMORY = {"requests": "1Gi", "limits": "4Gi"}
"""28 versions take 588 MiB (docs/benchmarks.md). A picture of 50 million pixels takes up to 1 GB while it is decoded
(docs/security.md): one a core, and one more for a shadow.
"""
CONCURRENCY = 4 * CPUS
"""Calls at a time from which on another replica is wanted. The gateway takes 16 of a version, and lets 64 wait."""


def service(settings: Settings) -> dict[str, Any]:
    """The service that all calls go to."""
    return _service(settings, settings.archives)


def canary(settings: Settings) -> dict[str, Any]:
    """The same service with other archives. Applied over the first, it gets its share, and the first has the rest."""
    changed = _service(settings, settings.canary)
    changed["spec"]["predictor"] = {"canaryTrafficPercent": settings.share, **changed["spec"]["predictor"]}
    return changed


def _service(settings: Settings, archives: str) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": settings.name,
            "labels": {"app.kubernetes.io/name": "lesion-zoo", **pods.labels(settings.name, "gateway")},
            # A canary needs revisions, which are Knative's; before KServe 0.16 it is called Serverless.
            "annotations": {"serving.kserve.io/deploymentMode": "Knative"},
        },
        "spec": {
            "predictor": {
                "minReplicas": settings.replicas.least,
                "maxReplicas": settings.replicas.most,
                "scaleMetric": "concurrency",
                "scaleTarget": CONCURRENCY,
                "timeout": 60,
                "automountServiceAccountToken": False,
                "containers": [_container(settings, archives)],
                "volumes": pods.volumes(settings.name),
            }
        },
    }


def _container(settings: Settings, archives: str) -> dict[str, Any]:
    served = ["--runtime", "local", "--archives", MODELS, "--host", "0.0.0.0", "--wait"]
    served += ["--events", settings.events] if settings.events else []
    return {
        "name": "kserve-container",  # KServe's name for the one that has the archives
        "image": settings.image,
        "command": ["python", "-m", "gateway", "serve", *served],
        "env": [{"name": "STORAGE_URI", "value": archives}, *pods.password(settings.name, settings.events)],
        "ports": [{"name": "http1", "containerPort": pods.PORT, "protocol": "TCP"}],
        "readinessProbe": pods.probe("/v2/health/ready", 5, 3),
        "livenessProbe": pods.probe("/v2/health/live", 10, 6),
        "resources": {kind: {"cpu": str(CPUS), "memory": memory} for kind, memory in MEMORY.items()},
        "securityContext": pods.security(),
        "volumeMounts": pods.mounts(),
    }
