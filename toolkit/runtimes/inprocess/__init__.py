"""What the runtimes that run a traced model in this process share."""
