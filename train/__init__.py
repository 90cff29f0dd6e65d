"""A classifier, trained: `python -m train NAME`."""
