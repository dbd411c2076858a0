"""Worlds that change."""
