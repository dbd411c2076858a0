"""What a run needs of this machine: processor, memory, time, signals, processes."""
