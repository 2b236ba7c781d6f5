"""A model, its data and its loss at one point theta, and the checks made before a number is computed."""
