#!/usr/bin/env python3
"""Remakes the committed weights of shipped models, or the data they learn from, from a fixed seed."""

import sys
from pathlib import Path

# Run as a file, a script sees only its own folder; models and training live beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.training.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
