"""What `inspect` can read, a file each."""
