"""Under which names a server's versions are deployed: a cluster may serve several studies."""

import hashlib
import re
import socket
from pathlib import Path


def prefix_of(folder: Path) -> str:
    """What the names of its applications begin with."""
    whose = f"{socket.gethostname()}:{folder.resolve()}"
    study = re.sub(r"[^A-Za-z0-9_.-]", "-", folder.resolve().parent.name)  # Ray's metrics take ASCII only
    return f"{study}-{hashlib.sha256(whose.encode()).hexdigest()[:8]}-"
