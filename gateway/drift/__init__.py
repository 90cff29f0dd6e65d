"""Drift: what a version predicts now, hour by hour, against what it predicted of its study's validation images."""
