"""What a traced model can be written as, a file each."""
