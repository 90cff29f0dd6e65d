"""Serving archives: the runtime, the champion, and what a request holds."""
