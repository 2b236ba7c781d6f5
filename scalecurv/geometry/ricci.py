"""Ricci curvature of the graph of the loss, from what the Hessian makes of one direction."""


def ricci_curvature_of(
    trace: float, ghg: float, beta: float, uhu: float, squared: float, ghu: float, length: float
) -> float:
    """Ric(u, u) / u'Gu: the sum of the sectional curvatures of P - 1 orthogonal planes through u.

    Ric(u, u) = beta ((T - beta g'Hg) u'Hu - |Hu|^2 + beta (g'Hu)^2), with `uhu` u'Hu, `squared` |Hu|^2, `ghu` g'Hu and
    `length` u'Gu = |u|^2 + (g'u)^2. Linear in `trace` T. (Pouplin, Roy, Singh, Arvanitidis 2023, arXiv 2307.04719)
    """
    return beta * ((trace - beta * ghg) * uhu - squared + beta * ghu**2) / length
