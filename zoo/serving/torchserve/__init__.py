"""TorchServe as the runtime."""
