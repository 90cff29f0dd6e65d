"""The served zoo from the outside: a REST client."""
