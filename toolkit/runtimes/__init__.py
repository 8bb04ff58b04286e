"""What can run an artifact, a file each."""
