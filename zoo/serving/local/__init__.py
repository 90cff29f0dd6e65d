"""One process that serves every archive with onnxruntime: without Java, and without torch."""

from zoo.serving.local.runtime import Local

RUNTIME = Local()
