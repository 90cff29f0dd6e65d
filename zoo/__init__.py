"""The catalog: entries, studies, networks, scores and archives."""
