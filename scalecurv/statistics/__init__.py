"""A number with its interval, and when enough of it has been computed."""
