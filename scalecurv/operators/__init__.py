"""The Hessian and its relatives as linear operators, known by their products."""
