"""A space to start from: vectors that are nearly eigenvectors, such as those of the checkpoint before."""

import hashlib

import torch
from torch import Tensor

from scalecurv.linalg.foreign import Operand, aslinearoperator
from scalecurv.linalg.inner import norms, project_out
from scalecurv.linalg.krylov.block_space import BlockSpace, orthonormal

PIECE = 1 << 22  # rows that are read at a time


def spanned(operator: Operand, vectors: Tensor, most: int) -> BlockSpace | None:
    """Return the span W of the columns of `vectors` (n, j) with A W = W T + F C', from one block product.

    It takes the first `most` columns, which need not be orthonormal; zeros, and columns that depend on those before
    them, are left out. Each column of W takes one product. Returns None where no column remains.

    Raises ValueError where `vectors` is no (n, j) block of finite numbers.

    Example:
        >>> space = spanned(torch.diag(torch.tensor([3.0, 1.0, 1.0])), torch.tensor([[2.0], [0.0], [0.0]]), 1)
        >>> space.values, space.residuals
        (array([3.]), array([0.]))
    """
    operator = aslinearoperator(operator)
    n = operator.shape[0]
    if vectors.ndim != 2 or vectors.shape[0] != n:
        raise ValueError(f"warm vectors of shape {tuple(vectors.shape)}: give one a column, shape ({n}, j)")
    if not vectors.is_floating_point() or not bool(torch.isfinite(vectors).all()):
        raise ValueError("warm vectors hold values that are no finite real numbers: give real vectors without NaN")
    V = vectors[:, :most].to(operator.device, operator.dtype)
    V = V / V.abs().amax(dim=0).where((V != 0).any(dim=0), torch.ones((), dtype=V.dtype, device=V.device))
    lengths = norms(V).to(V.dtype)
    V = V[:, lengths > 0] / lengths[lengths > 0]
    nothing = V[:, :0]
    W = orthonormal(V, nothing, nothing)[0]
    if not W.shape[1]:
        return None
    product = operator.matmat(W)
    size = float(norms(product).max())
    rest, along = project_out(product, W)
    F, X = orthonormal(rest / (size or 1.0), W, W)
    T = along.cpu().numpy()
    return BlockSpace(W, (T + T.T) / 2, size * X.T, F, W.shape[1], size)


def stream_beside(vectors: Tensor, stream: str) -> str:
    """Return the name of a stream of random vectors that are independent of `vectors`, whoever made these.

    A certificate needs a start that is independent of the space. Eigenvectors from a run with the same seed depend on
    the vectors that this seed has drawn. A name that holds the SHA-256 digest of `vectors` keys a generator of its own.

    Example:
        >>> one, other = torch.eye(2), 2 * torch.eye(2)
        >>> stream_beside(one, "check") == stream_beside(one.clone(), "check") != stream_beside(other, "check")
        True
    """
    digest = hashlib.sha256(str((tuple(vectors.shape), vectors.dtype)).encode())
    for column in vectors.T:
        for start in range(0, len(column), PIECE):
            digest.update(column[start : start + PIECE].contiguous().cpu().numpy().tobytes())
    return f"{stream} beside {digest.hexdigest()}"
