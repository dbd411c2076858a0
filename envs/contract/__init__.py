"""What a world has to keep to: what it returns, where its randomness is, what it is."""
