"""The REST contract as an ASGI app in one process, whoever answers behind it: what `local` and `ray` share."""
