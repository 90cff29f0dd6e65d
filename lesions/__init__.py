"""The data: HAM10000 or its procedural phantom, split, cropped and cached."""
