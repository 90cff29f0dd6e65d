"""What runs inside TorchServe."""
