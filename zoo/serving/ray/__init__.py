"""Ray Serve: each version a deployment, with as many replicas as one wants, on this machine or on a cluster."""

from zoo.serving.ray.runtime import Ray

RUNTIME = Ray()
