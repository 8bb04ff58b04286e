"""The command line: a thin file per verb over the Python API."""
