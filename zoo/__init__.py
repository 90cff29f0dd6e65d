"""The catalogue: entries, studies, networks, scores and archives."""
