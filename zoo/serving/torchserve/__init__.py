"""TorchServe as a runtime: each archive is one version of a model, with a Java server before Python workers."""

from zoo.serving.torchserve.server import TorchServe

RUNTIME = TorchServe()
