"""Learners and their continual-learning methods."""
