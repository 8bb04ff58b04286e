"""What is inside a graph."""
