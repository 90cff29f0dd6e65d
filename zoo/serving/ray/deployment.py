"""A version as a deployment of Ray Serve."""

from typing import Any

from ray import serve
from ray.serve.config import AutoscalingConfig

from zoo.serving.ray.archives import Archive
from zoo.serving.ray.replica import Replica
from zoo.serving.ray.settings import Settings
from zoo.serving.rest.process import ENVIRONMENT
from zoo.serving.rest.worker import MOST_WAITING

HEALTH: dict[str, Any] = {"health_check_period_s": 2, "health_check_timeout_s": 10}
"""How soon a replica that is gone is missed, in seconds: three failed checks in a row."""
LOGGING = {"enable_access_log": False, "log_level": "WARNING"}
UP, DOWN = 3, 60
"""Seconds of much, or of little to do, after which there are more replicas, or fewer."""


def threads(settings: Settings) -> int:
    """How many requests a replica works on at a time."""
    return max(1, int(settings.cpus))


def at_once(settings: Settings) -> int:
    """How many requests of a version are worked on at a time, at most."""
    return threads(settings) * settings.most


def application(name: str, archive: Archive, settings: Settings, loopback: bool = False) -> Any:
    """A version's `ray.serve.Application`; `loopback` where no other machine is to reach its replicas."""
    scale: dict[str, Any] = {"num_replicas": settings.least}
    if settings.most > settings.least:
        scaling = AutoscalingConfig(
            min_replicas=settings.least,
            max_replicas=settings.most,
            target_ongoing_requests=threads(settings),
            upscale_delay_s=UP,
            downscale_delay_s=DOWN,
            look_back_period_s=UP,
        )
        scale = {"autoscaling_config": scaling}
    actor: dict[str, Any] = {"num_cpus": settings.cpus}
    if not loopback:  # a Ray of our own has it from us
        actor["runtime_env"] = {"env_vars": dict(ENVIRONMENT)}
    deployment: Any = serve.deployment(
        Replica,
        name=name,
        # All that wait are at the replicas: what waits at Serve's router is asked for again with growing pauses, in
        # which replicas have nothing to do (a third of the images/s).
        max_ongoing_requests=threads(settings) + MOST_WAITING,
        ray_actor_options=actor,
        logging_config=LOGGING,
        graceful_shutdown_timeout_s=10,
        **HEALTH,
        **scale,
    )
    return deployment.bind(archive, threads(settings), loopback)
