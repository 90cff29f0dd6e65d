"""A generator, trained, measured and its synthetic images: `python -m gan NAME`."""
