"""From a trained run to a self-contained archive."""
