"""The rank of the Jacobian: exact, certified or numerical."""
