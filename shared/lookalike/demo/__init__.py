"""The demo: two collections of emoji, a few searches, their contact sheets, and a server. `make demo`."""
