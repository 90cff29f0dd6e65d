"""Ray itself: a cluster that is there, or one on this machine that belongs to the server."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError

from lesions.errors import UserError
from zoo.serving.ray.program import FILES
from zoo.study import ROOT

OBJECTS = 100_000_000
"""Bytes of memory that Ray shares between processes: pictures and answers above 100 kB pass through it."""
LONGEST = 40
"""Letters of the path of Ray's folder: below it are sockets, whose paths the kernel limits to 107."""
CODE = ("zoo", "lesions")
"""What other nodes get of this checkout. Packages from outside are to be installed there."""
QUIET: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}


@contextmanager
def joined(folder: Path, address: str, processors: int) -> Iterator[None]:
    """Within the block this process belongs to Ray, and Serve runs. Raises `UserError`."""
    if address:
        modules = [str(ROOT / name) for name in CODE]
        join(address, namespace="lesion-zoo", runtime_env={"py_modules": modules})
    else:
        _start(folder, processors)
    try:
        serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
        yield
    finally:
        ray.shutdown()


def join(address: str, **options: Any) -> None:
    """Make this process one of a cluster's; `options` are those of `ray.init`. Raises `UserError`."""
    try:
        ray.init(address=address, **QUIET, **options)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        problem = f"RAY_ADDRESS={address}: no cluster to join, or its RAY_AUTH_TOKEN is not in the environment"
        raise UserError(f"{problem} ({error!s:.300})") from None


def _start(folder: Path, processors: int) -> None:
    """A Ray whose processes end with this one; on loopback only, which the environment says (`RayProgram`)."""
    base = tempfile.gettempdir()
    # Nobody else reaches what is in this folder; Ray opens its own, which is in it, to everybody.
    files = Path(tempfile.mkdtemp(prefix="lz-ray-", dir=base if len(base) <= LONGEST - 18 else "/tmp"))
    (folder / FILES).unlink(missing_ok=True)
    (folder / FILES).symlink_to(files)
    os.environ.pop("RAY_ADDRESS", None)
    ray.init(
        address="local",
        num_cpus=processors,
        num_gpus=0,
        object_store_memory=OBJECTS,
        include_dashboard=False,
        _temp_dir=str(files / "r"),
        **QUIET,
    )
