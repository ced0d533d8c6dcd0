"""What generation gives: songs in memory and on disk, and the clips of an evaluation."""
