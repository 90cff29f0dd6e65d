"""Networks, and what they predict."""
