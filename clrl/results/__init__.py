"""What runs measured: reading, metrics, statistics, tables."""
