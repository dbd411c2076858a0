"""Networks with a seed axis, and what trains and measures them."""
