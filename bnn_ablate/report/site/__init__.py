"""The report as one HTML file that needs nothing beside it: no server, no network, no other file."""
