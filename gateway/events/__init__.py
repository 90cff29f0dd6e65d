"""What is kept of answers and of feedback: rows in a database, never a picture."""
