"""The Hessian, the Gauss-Newton matrix, the Jacobian and the shape operator, each given by its products."""
