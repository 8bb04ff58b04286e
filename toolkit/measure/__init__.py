"""How fast each way of running a model is, and how sure one may be of that."""
