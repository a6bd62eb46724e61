"""lookalike on AWS: what the functions share and the local server has no need of."""
