"""By how much to enlarge what a few random products show of a matrix, so that they rarely show too little of it."""

import math

LEAST = math.sqrt(5)  # the proof needs t <= 1/5


def caution(chance: float, vectors: int) -> float:
    """The factor c for which |E|_F > c max_i |E v_i|, v_i Gaussian, happens with at most this chance, whatever E is.

    |Ev|^2 / |E|_F^2 = sum_j w_j z_j^2 with z Gaussian, w_j >= 0 and sum w = 1, and for t = 1/c^2 <= 1/5

        P(sum_j w_j z_j^2 <= t) <= sqrt(2 t / pi),

    so that c = sqrt(2/pi) chance^(-1/m) for m vectors. Rank 1 comes closest: there it is P(|z| <= 1/c)^m.

    Proof: let w_1 be the largest. P(|z_1| <= x) <= sqrt(2/pi) x and sqrt(t - r) <= sqrt(t) e^(-r/2t), so that the left
    side is at most sqrt(2t/pi) [w_1 prod_(j>1) (1 + w_j/t)]^(-1/2), and w_1 (1 + (1 - w_1)/t) >= 1 where w_1 >= t.
    Where no weight is above t it is at most E e^(1/2 - sum w_j z_j^2 / 2t) = e^(1/2) prod (1 + w_j/t)^(-1/2)
    <= e^(1/2) 2^(-1/2t), which is less still. For the spectral norm, which is smaller, this is lemma 4.1 of Halko,
    Martinsson and Tropp 2011.
    """
    if not (0 < chance < 1 and vectors >= 1):
        raise ValueError(f"chance={chance} of {vectors} vector(s): give a chance between 0 and 1, and a vector or more")
    return max(LEAST, math.sqrt(2 / math.pi) * chance ** (-1 / vectors))
