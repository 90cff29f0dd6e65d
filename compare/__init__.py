"""The served zoo from the outside: a REST client, and what the served versions are worth."""
