"""The REST contract as an ASGI app in one process: what `local` and `ray` share."""
