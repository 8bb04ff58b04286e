"""Changes of a graph or model that make a format possible, a file each."""
