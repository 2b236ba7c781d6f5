"""Brackets of the scalar curvature from the ends of the spectrum, and from a subspace whose image is known."""

Interval = tuple[float, float]


def psd_bracket(trace: Interval, lambda_max: Interval, beta: float) -> Interval:
    """Return beta^2 T (T - lambda) and beta (T^2 - lambda^2), which bracket K where H is positive semidefinite.

    Each of T and lambda_max is given by an interval that holds it, and enters with the end that keeps the bound
    valid. With beta = 1 this brackets T^2 - F, within the factor 1 + lambda / T. Proof: lambda^2 <= F <= lambda T, and
    K lies between beta^2 and beta times T^2 - F, as K is a convex combination of e_2(H) and of e_2 of H on the
    tangent space of the level set.
    """
    lower = max(trace[0], 0.0) * (trace[0] - lambda_max[1])  # T >= 0, whatever its interval says
    upper = trace[1] ** 2 - max(lambda_max[0], 0.0) ** 2
    return beta**2 * max(lower, 0.0), beta * max(upper, 0.0)


def deflated_square(trace: Interval, inside: float, known: float, rest: int, largest: float) -> Interval:
    """Return bounds on F = tr A^2 of a positive semidefinite A, given its action on a subspace, without a probe.

    With R = I - QQ', `inside` is tr Q'AQ and `known` |Q'AQ|_F^2 + 2 |RAQ|_F^2; RAR is positive semidefinite on the
    `rest` dimensions outside Q, so that (tr RAR)^2 / rest <= |RAR|_F^2 <= |RAR| tr RAR. `trace` is an interval that
    holds tr A, and `largest` a bound on the largest eigenvalue, which |RAR| does not exceed; nor does it exceed tr RAR.

    Example:
        >>> deflated_square((6.0, 6.0), inside=3.0, known=9.0, rest=3, largest=3.0)  # eigenvalues 3, 1, 1, 1
        (12.0, 18.0)
    """
    least, most = (max(end - inside, 0.0) for end in trace)
    return known + least**2 / max(rest, 1), known + min(max(largest, 0.0), most) * most


def affine_bracket(trace: Interval, trace_h2: Interval, beta: float, ghg: float, gh2g: float) -> Interval:
    """Return the minimum and maximum of K = beta (T^2 - F) + 2 beta^2 (g'H^2 g - T g'Hg) over intervals of T and F.

    Example:
        >>> affine_bracket((2.0, 3.0), (1.0, 2.0), beta=1.0, ghg=0.0, gh2g=0.0)
        (2.0, 8.0)
    """
    turning = beta * ghg  # of the parabola in T
    places = [*trace, *([turning] if trace[0] < turning < trace[1] else [])]
    of_trace = [beta * T**2 - 2 * beta**2 * T * ghg for T in places]
    rest = 2 * beta**2 * gh2g
    return min(of_trace) + rest - beta * trace_h2[1], max(of_trace) + rest - beta * trace_h2[0]


def general_bracket(trace: Interval, trace_h2: Interval, spectrum: Interval, beta: float) -> Interval:
    """Return the minimum and maximum of beta (T^2 - F) + 2 beta (1 - beta) t (t - T) over the spectrum, for any H.

    They bracket K. `spectrum` is an interval that holds all eigenvalues t: u'H^2 u - T u'Hu is a mean of t (t - T) for
    every unit vector u, and for the direction of the gradient in particular. The lower bound is raised to
    beta ((1 + beta) T^2 / 2 - F), which holds too. `trace` and `trace_h2` are intervals that hold T and F.
    """
    squares = (0.0 if trace[0] <= 0 <= trace[1] else min(t * t for t in trace), max(t * t for t in trace))
    corners = [t * (t - T) for T in trace for t in spectrum]
    turning = [T / 2 for T in trace if spectrum[0] <= T / 2 <= spectrum[1]]
    slope = 2 * beta * (1 - beta)
    lower = beta * (squares[0] - trace_h2[1]) + slope * min([*corners, *(-t * t for t in turning)])
    upper = beta * (squares[1] - trace_h2[0]) + slope * max(corners)
    return max(lower, beta * ((1 + beta) / 2 * squares[0] - trace_h2[1])), upper
