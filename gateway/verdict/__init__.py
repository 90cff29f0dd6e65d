"""The judge of an experiment: what may be concluded from its answers and their feedback, whenever one looks."""
