"""Which runs are references, of which runs, and what is a row of its own."""
