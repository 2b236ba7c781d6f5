"""A store that is being written, shown in a terminal."""
