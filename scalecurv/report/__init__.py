"""A store as one HTML file: pictures, tables and how to read them, without a network."""
