"""The gateway: one port before whichever runtime serves, for browsers, phones and clients of other servers."""
