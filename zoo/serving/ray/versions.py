"""Every version deployed: who is ready, and why others are not."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ray import serve
from ray.serve.api import RunTarget
from ray.serve.handle import DeploymentHandle

from zoo.kinds import KINDS
from zoo.serving.ray.archives import Archive, FetchError
from zoo.serving.ray.deployment import application, at_once
from zoo.serving.ray.details import Details, statuses
from zoo.serving.ray.settings import Settings
from zoo.serving.ray.worker import Replicas
from zoo.serving.rest.versions import Version, Versions

POLL = 0.1
REPORT = 20
"""Seconds after which the log says, again and again, for whom it waits: its end is shown where it takes too long."""
FAILED = re.compile(rf"{FetchError.__name__}: (.+)")


def open_all(
    archives: Mapping[str, Archive],
    settings: Settings,
    note: Callable[[str, str], None],
    prefix: str,
    loopback: bool,
) -> Versions:
    """Deploy `archives`, by version; each is an application of its own, so that a bad one harms no other.

    Their names begin with `prefix`; applications of that prefix that are no longer wanted are deleted. `note` is called
    with the name of each version as soon as a replica has opened it, with "" or with why it cannot be served.
    """
    wanted = {f"{prefix}{name}": name for name in archives}
    for old in statuses():
        if old.startswith(prefix) and old not in wanted:
            serve.delete(old, _blocking=False)  # else one after the other
    targets = [
        RunTarget(application(name, archives[name], settings, loopback), name=full, route_prefix=None)
        for full, name in wanted.items()
    ]
    handles = serve.run_many(targets, wait_for_applications_running=False)
    waiting, details, versions = dict(zip(wanted, handles, strict=True)), Details(), []
    report = time.monotonic() + REPORT
    while waiting:
        states = statuses()
        for full in [full for full in waiting if states.get(full, ("", ""))[0] in ("RUNNING", "DEPLOY_FAILED")]:
            handle, name = waiting.pop(full), wanted[full]
            entry, problem = _described(handle, *states[full])
            if entry:
                worker = Replicas(entry, handle, at_once(settings), details)
                model = KINDS[entry["kind"]].model
                versions.append(Version(model, entry["entry"], archives[name].file, worker))
            else:
                serve.delete(full, _blocking=False)
            note(name, problem)
        if waiting and time.monotonic() > report:
            report += REPORT
            _report([wanted[full] for full in waiting], [states[full][1] for full in waiting if full in states])
        time.sleep(POLL)
    return Versions(versions)


def _report(names: list[str], messages: list[str]) -> None:
    """Write into the log who is waited for, and the first that Serve has to say of one of them."""
    reasons = [" ".join(message.split()) for message in messages if message.strip()]
    message = "waiting for %s; Ray Serve: %s"
    logging.getLogger(__name__).warning(message, ", ".join(names), reasons[0] if reasons else "no reason yet")


def _described(handle: DeploymentHandle[Any], state: str, message: str) -> tuple[dict[str, Any], str]:
    """What a replica says of its archive; where none could start, no entry and the reason."""
    if state == "RUNNING":
        entry, problem = handle.describe.remote().result()
        return dict(entry), str(problem)
    reasons = FAILED.findall(message)
    return {}, reasons[-1] if reasons else message.strip().rpartition("\n")[2]
