"""lookalike on AWS: code that the functions share and the local server does not need."""
