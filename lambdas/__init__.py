"""Entry points of the functions on AWS; each imports the library and nothing imports them."""
