"""What `doctor` looks at, a file each: the machine, the stack, what is usable, a server, a model."""
