"""What all of it stands on: files, checks of arguments, memory, threads, processes."""
