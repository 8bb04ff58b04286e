"""What runs a deployed model past one machine, a file each: Compose, Kubernetes, KServe."""
