"""The only description of a run, and the names that users type."""
