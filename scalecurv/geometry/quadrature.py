"""Brackets of quadratic forms u'f(A)u from a Gauss rule: the Jacobi matrix of the rule, and what follows from it."""

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

VANISHED = 1e-14  # of the nodes' size: an off-diagonal entry this small ends the recovery, as only rounding follows
HALVINGS = 200  # of the distance in which an end is looked for; about 60 reach an ulp


def jacobi_matrix(nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the diagonal (k,) and the off-diagonal (k - 1,) of the Jacobi matrix of a Gauss rule.

    It is the Lanczos process on diag(nodes) from the start sqrt(weights), orthogonalised against all former vectors
    twice. The matrix has the rule's nodes as eigenvalues and its weights as squared first components of eigenvectors,
    and is smaller than the rule where nodes coincide or weights vanish. (Golub and Meurant 2010, sec. 6.2)

    Example:
        >>> diagonal, beside = jacobi_matrix(np.array([1.0, 3.0]), np.array([0.5, 0.5]))
        >>> diagonal.round(12).tolist(), beside.round(12).tolist()
        ([2.0, 2.0], [1.0])
    """
    vector = np.sqrt(weights / weights.sum())
    size, basis = float(np.abs(nodes).max(initial=0.0)), np.zeros((0, len(nodes)))
    diagonal, beside = list[float](), list[float]()
    while True:
        basis = np.vstack([basis, vector])
        image = nodes * vector
        diagonal.append(float(vector @ image))
        for _ in range(2):
            image = image - basis.T @ (basis @ image)
        length = float(np.linalg.norm(image))
        if len(basis) == len(nodes) or length <= VANISHED * size:
            return np.array(diagonal), np.array(beside)
        beside.append(length)
        vector = image / length


def bracket_of_form(nodes: np.ndarray, weights: np.ndarray, f: Function, low: float) -> tuple[float, float]:
    """Return a lower and an upper bound on the integral of f, for every measure of mass 1 that has this Gauss rule.

    The measure lies on [low, inf), and the derivatives of f there alternate in sign, f' > 0 > f''. The Gauss rule is
    the upper bound, as its error has the sign of f^(2k). The Gauss-Radau rule with a node at `low`, whose error has the
    sign of f^(2k-1), is the lower one. Both are exact up to rounding if f is a polynomial of degree 2k - 2. (Golub and
    Meurant 1994)

    Example:
        >>> lower, upper = bracket_of_form(np.array([2.0]), np.array([1.0]), np.log1p, low=0.0)
        >>> round(lower, 9), round(upper, 9)  # for any measure on [0, inf) of mean 2
        (0.0, 1.098612289)
    """
    upper = float(weights @ f(nodes)) / float(weights.sum())
    diagonal, beside = jacobi_matrix(nodes, weights)
    T = _matrix(diagonal, beside)
    if len(T) > 1:
        last = np.zeros(len(T) - 1)
        last[-1] = beside[-1] ** 2
        T[-1, -1] = low + float(np.linalg.solve(T[:-1, :-1] - low * np.eye(len(T) - 1), last)[-1])
    else:
        T[0, 0] = low
    found, vectors = np.linalg.eigh(T)
    lower = float(vectors[0] ** 2 @ f(np.maximum(found, low)))
    return min(lower, upper), upper


def smallest_bound(nodes: np.ndarray, weights: np.ndarray, reach: float) -> float:
    """Return a lower bound on the smallest eigenvalue of A; it holds if the start has a component of exp(-reach) there.

    The orthonormal polynomial p of degree k - 1 has p(t)^2 |q'u|^2 <= 1 at an eigenvalue t with eigenvector u, for the
    start q of length 1, and |p| grows to the left of its zeros: the bound is where log |p| is `reach`. It is -inf for a
    rule of one node. (van Dorsselaer, Hochstenbach and van der Vorst 2000)
    """
    diagonal, beside = jacobi_matrix(nodes, weights)
    if len(beside) == 0:
        return -math.inf
    zeros = np.linalg.eigvalsh(_matrix(diagonal[:-1], beside[:-1]))
    wanted = reach + float(np.log(beside).sum())

    def height(distance: float) -> float:
        return float(np.log(distance + zeros - zeros[0]).sum())

    near, far = 0.0, math.exp(wanted / len(zeros))  # height >= k log(distance), so that the crossing is at most here
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        if not near < middle < far:
            break
        near, far = (middle, far) if height(middle) < wanted else (near, middle)
    return min(float(zeros[0]) - far, float(nodes.min()))


def log_reach(n: int, chance: float) -> float:
    """Return ln(1/d) for which a start uniform on the sphere in R^n has |q'u| < d with at most this chance, any u.

    The density of q'u is at most Gamma(n/2) / (sqrt(pi) Gamma((n-1)/2)), its value at 0, from n = 3 on; for n = 2 the
    chance is 2 asin(d) / pi <= d.

    Example:
        >>> round(log_reach(100, 1e-3), 3)
        8.977
    """
    if n < 3:
        return -math.log(chance)
    return math.log(2 / chance) + math.lgamma(n / 2) - math.lgamma((n - 1) / 2) - math.log(math.pi) / 2


def _matrix(diagonal: np.ndarray, beside: np.ndarray) -> np.ndarray:
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
