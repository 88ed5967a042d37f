"""What a class handed in: found, opened, and read, but not run."""
