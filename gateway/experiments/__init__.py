"""Live experiments: versions share what comes in, or answer unseen, and are judged by feedback."""
