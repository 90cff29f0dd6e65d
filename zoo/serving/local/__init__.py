"""One process that serves every archive with onnxruntime: without Java, and without torch."""

from zoo.serving.rest.process import Program
from zoo.serving.rest.runtime import OneProcess

RUNTIME = OneProcess(Program("local"))
