"""`python -m zoo.serving.local FOLDER`: serve what FOLDER/server.json says, until a signal comes."""

import sys
from pathlib import Path

from zoo.serving.local.threads import open_all
from zoo.serving.rest.host import serve

if __name__ == "__main__":
    serve(Path(sys.argv[1]), lambda state, note: open_all(Path(state["store"]), state["files"], note))
