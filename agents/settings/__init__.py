"""Settings of learners: how they are checked, what all have, where they are."""
