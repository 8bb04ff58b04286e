"""What graphs, files and the machine tell, put together for a person: inspect, doctor, trace."""
