"""The parts of a deployment; each is a construct in the one stack."""
