"""Manifests for Kubernetes: KServe's InferenceService of the `local` container, and a Ray Serve on KubeRay."""
