"""Networks, and what they predict. Copied into archives."""

import os

# From 1.29 on, onnxruntime reports its use to its makers, and leaves a file in the temporary folder, unless this is set
# before it is first imported: nothing of a server's leaves the machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
