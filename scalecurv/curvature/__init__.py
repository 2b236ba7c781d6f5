"""Networks as operators: a Problem is a model, data and a loss at one point theta."""
