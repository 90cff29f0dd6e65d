"""Committed records of what was measured, and the page that is made from them alone: docs/results.md."""
