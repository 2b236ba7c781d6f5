"""Where units of work run: in a for loop, or on a Ray cluster. Nothing below knows which."""
