"""Functional operations of torch, each applied to what a linear layer makes of x, in a shape of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo_drawn import Maker, entry, numbers

TARGETS = torch.tensor([0, 2, 1, 1])
INDEX = torch.tensor([[0, 2, 2], [1, 0, 1], [3, 3, 0], [2, 1, 3]])
EYE = torch.eye(3, dtype=torch.float64)


class Apply(nn.Module):
    """f of what a linear layer makes of x, (N, *shape); what f returns is flattened, complex numbers into pairs."""

    def __init__(self, f: Callable[[Tensor], Any], shape: tuple[int, ...]):
        super().__init__()
        self.linear, self.f, self.shape = nn.Linear(3, torch.Size(shape).numel()), f, shape

    def forward(self, x: Tensor) -> Tensor:
        out = self.f(self.linear(x).reshape(len(x), *self.shape))
        out = torch.view_as_real(out) if out.is_complex() else out
        return out.reshape(len(x), -1)


def halves(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """f of the two halves of a row."""
    return lambda z: f(*z.chunk(2, 1))


def positive(z: Tensor) -> Tensor:
    return F.softplus(z) + 0.1


def definite(z: Tensor) -> Tensor:
    return z @ z.mT + EYE


def in_place(z: Tensor) -> Tensor:
    """Writes into a clone by slices, masks and operators."""
    out = z.clone()
    out[:, 1] = z[:, 0] * z[:, 2]
    out += z.sin()
    out[:, 2:].sub_(z[:, :2].exp())
    return out.masked_fill_(z > 5, 0.5)


ROW: dict[str, Callable[[Tensor], Any]] = {
    "cumsum": lambda z: z.cumsum(1).sin(),
    "cumprod": lambda z: z.cumprod(1),
    "prod": lambda z: z.prod(1),
    "cummax": lambda z: z.cummax(1).values.sin(),
    "logcumsumexp": lambda z: z.logcumsumexp(1),
    "sort": lambda z: z.sort(1).values.sin(),
    "topk": lambda z: z.topk(2, 1).values.sin(),
    "kthvalue": lambda z: z.kthvalue(2, 1).values.sin(),
    "median": lambda z: z.median(1).values.sin(),
    "max": lambda z: z.max(1).values.sin(),
    "amin": lambda z: z.amin(1).sin(),
    "gather": lambda z: z.gather(1, INDEX[: len(z)]).sin(),
    "take_along_dim": lambda z: z.take_along_dim(INDEX[: len(z)], 1).sin(),
    "scatter_add": lambda z: torch.zeros_like(z).scatter_add(1, INDEX[: len(z)], z[:, :3].exp()),
    "scatter_reduce": lambda z: torch.ones_like(z).scatter_reduce(1, INDEX[: len(z)], z[:, :3], "prod"),
    "index_add": lambda z: torch.zeros_like(z).index_add(1, TARGETS, z.exp()),
    "index_select": lambda z: z.index_select(1, TARGETS).exp(),
    "index_put": lambda z: torch.zeros_like(z.T).index_put((TARGETS,), z.exp().T, accumulate=True).T,
    "logsumexp": lambda z: z.logsumexp(1),
    "norm": lambda z: z.norm(dim=1),
    "norm 3": lambda z: torch.linalg.vector_norm(z, 3, dim=1),
    "normalize": F.normalize,
    "renorm": lambda z: z.renorm(2, 0, 0.5),
    "std": lambda z: z.std(1),
    "var_mean": lambda z: torch.cat(torch.var_mean(z, 1, keepdim=True), 1).sin(),
    "where": lambda z: torch.where(z > 0.2, z.exp(), z**2),
    "clamp": lambda z: z.clamp(-0.7, 0.9).exp(),
    "abs sqrt": lambda z: (z.abs() + 0.2).sqrt(),
    "pow": lambda z: positive(z) ** z,
    "erf": torch.erf,
    "erfinv": lambda z: torch.erfinv(z.tanh() * 0.9),
    "sinc": torch.sinc,
    "i0": torch.special.i0,
    "i1": torch.special.i1,
    "i0e": torch.special.i0e,
    "i1e": torch.special.i1e,
    "erfcx": torch.special.erfcx,
    "ndtri": lambda z: torch.special.ndtri(z.sigmoid() * 0.9 + 0.05),
    "lgamma": lambda z: torch.lgamma(positive(z)),
    "digamma": lambda z: torch.digamma(positive(z)),
    "polygamma": lambda z: torch.polygamma(1, positive(z)),
    "log_ndtr": torch.special.log_ndtr,
    "entr": lambda z: torch.special.entr(positive(z)),
    "xlogy": halves(lambda a, b: torch.xlogy(a, positive(b))),
    "logit": lambda z: torch.logit(z.sigmoid() * 0.9 + 0.05),
    "expm1 log1p": lambda z: torch.log1p(torch.expm1(z).abs()),
    "atan2": halves(torch.atan2),
    "hypot": halves(torch.hypot),
    "logaddexp": halves(torch.logaddexp),
    "maximum": halves(torch.maximum),
    "lerp": halves(lambda a, b: torch.lerp(a, b, a.sigmoid())),
    "addcmul": halves(lambda a, b: torch.addcmul(a, b, b.sin(), value=2)),
    "addcdiv": halves(lambda a, b: torch.addcdiv(a, b, positive(a))),
    "remainder": lambda z: torch.remainder(z.exp(), 0.7) ** 2,
    "nan_to_num": lambda z: torch.nan_to_num(z).exp(),
    "gumbel of fixed noise": lambda z: F.softmax((z + torch.linspace(-1, 1, 4).double()) / 0.7, 1),
    "in place": in_place,
    "cosine similarity": halves(F.cosine_similarity),
    "pairwise distance": halves(F.pairwise_distance),
    "glu": F.glu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "hardsigmoid of torch": lambda z: torch._C._nn.hardsigmoid(z),
    "rrelu": lambda z: F.rrelu(z, 0.1, 0.4),
    "rrelu of torch": lambda z: torch.rrelu(z, 0.1, 0.4),
    "relu6 of torch": lambda z: torch._C._nn.relu6(z),
    "celu of torch": lambda z: torch.celu(z, 0.7),
    "silu of torch": lambda z: torch._C._nn.silu(z) ** 2,
    "local response": lambda z: F.local_response_norm(z[:, None], 3),
    "pad": lambda z: F.pad(z[:, None], (1, 2), mode="replicate").sin(),
    "nested functions": lambda z: torch.func.vmap(torch.func.grad(lambda r: r.sin().prod()))(z),
    "cross_entropy": lambda z: F.cross_entropy(z, TARGETS[: len(z)], label_smoothing=0.1, reduction="none"),
    "nll": lambda z: F.nll_loss(z.log_softmax(1), TARGETS[: len(z)], reduction="none"),
    "kl_div": lambda z: F.kl_div(z.log_softmax(1), z.sigmoid(), reduction="none"),
    "bce with logits": lambda z: F.binary_cross_entropy_with_logits(z, z.sin().sigmoid(), reduction="none"),
    "bce": lambda z: F.binary_cross_entropy(z.sigmoid(), z.cos() ** 2, reduction="none"),
    "huber": lambda z: F.huber_loss(z, z.sin(), reduction="none", delta=0.5),
    "smooth l1": lambda z: F.smooth_l1_loss(z, z.cos(), reduction="none", beta=0.5),
    "mse": lambda z: F.mse_loss(z, z.cos(), reduction="none"),
    "l1": lambda z: F.l1_loss(z.exp(), z.cos(), reduction="none"),
    "poisson nll": lambda z: F.poisson_nll_loss(z, z.exp(), full=True, reduction="none"),
    "gaussian nll": halves(lambda a, b: F.gaussian_nll_loss(a, a.sin(), positive(b), reduction="none")),
    "soft margin": lambda z: F.soft_margin_loss(z, z.detach().sign(), reduction="none"),
    "multilabel soft margin": lambda z: F.multilabel_soft_margin_loss(z, (z > 0).double(), reduction="none"),
    "multi margin": lambda z: F.multi_margin_loss(z, TARGETS[: len(z)], p=2, reduction="none"),
    "multilabel margin": lambda z: F.multilabel_margin_loss(z, INDEX[: len(z), [0, 1, 2, 2]], reduction="none").exp(),
    "hinge embedding": lambda z: F.hinge_embedding_loss(z.exp(), torch.ones_like(z), reduction="none"),
    "triplet": lambda z: F.triplet_margin_loss(z[:, :2], z[:, 2:], z[:, 1:3].sin() + 1, reduction="none"),
    "cosine embedding": halves(lambda a, b: F.cosine_embedding_loss(a, b, torch.ones(len(a)), reduction="none")),
}
GRIDS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Any]]] = {
    "matmul": ((2, 2), lambda z: z @ z.mT),
    "einsum": ((2, 3), lambda z: torch.einsum("nij,nkj->nik", z, z.exp())),
    "baddbmm": ((2, 2), lambda z: torch.baddbmm(z, z, z.sin())),
    "outer": ((2, 2), lambda z: z[:, 0, :, None] * z[:, 1, None]),
    "cross": ((2, 3), lambda z: torch.linalg.cross(z[:, 0], z[:, 1])),
    "cdist": ((3, 2), lambda z: torch.cdist(z[:, :1], z[:, 1:])),
    "cdist by matmul": (
        (3, 2),
        lambda z: torch.cdist(z[:, :1], z[:, 1:], compute_mode="use_mm_for_euclid_dist"),
    ),
    "cdist 1": ((3, 2), lambda z: torch.cdist(z[:, :1], z[:, 1:], p=1.0).exp()),
    "cdist 3": ((3, 2), lambda z: torch.cdist(z[:, :1], z[:, 1:], p=3.0)),
    "pdist": ((3, 2), lambda z: torch.stack([F.pdist(a) for a in z])),
    "inv": ((2, 2), lambda z: torch.linalg.inv(z + 3 * EYE[:2, :2])),
    "solve": ((3, 3), lambda z: torch.linalg.solve(definite(z), z[:, :, :1])),
    "solve_triangular": ((2, 2), lambda z: torch.linalg.solve_triangular(positive(z), z.sin(), upper=True)),
    "cholesky": ((3, 3), lambda z: torch.linalg.cholesky(definite(z))),
    "cholesky_solve": ((3, 1), lambda z: torch.cholesky_solve(z, torch.linalg.cholesky(definite(z)))),
    "lu": ((2, 2), lambda z: torch.linalg.lu(z).U),
    "qr": ((3, 2), lambda z: torch.linalg.qr(z).R),
    "svdvals": ((2, 3), torch.linalg.svdvals),
    "eigvalsh": ((3, 3), lambda z: torch.linalg.eigvalsh(z + z.mT)),
    "eigh": ((2, 2), lambda z: torch.linalg.eigh(z + z.mT).eigenvectors ** 2),
    "eigvals": ((2, 2), lambda z: torch.linalg.eigvals(z).real.sort().values),
    "matrix_exp": ((2, 2), torch.linalg.matrix_exp),
    "matrix_power": ((2, 2), lambda z: torch.linalg.matrix_power(z, 3)),
    "pinv": ((3, 2), torch.linalg.pinv),
    "lstsq": (
        (3, 2),
        lambda z: (
            torch.linalg.lstsq(
                torch.cat([z, EYE[:2, :2].expand(len(z), 2, 2)], 1), torch.cat([z, z.exp()], 1)[:, :5, :1]
            ).solution
        ),
    ),
    "det": ((3, 3), torch.linalg.det),
    "slogdet": ((3, 3), lambda z: torch.linalg.slogdet(definite(z)).logabsdet),
    "nuclear norm": ((2, 3), lambda z: torch.linalg.matrix_norm(z, "nuc")),
    "spectral norm of z": ((2, 3), lambda z: torch.linalg.matrix_norm(z, 2)),
    "trace diag tril": ((3, 3), lambda z: (z.tril() @ torch.diag_embed(z.diagonal(dim1=1, dim2=2))).triu(-1)),
    "kron": ((2, 1), lambda z: torch.stack([torch.kron(a, a.mT) for a in z])),
    "fft": ((4,), lambda z: torch.fft.fft(z * z)),
    "rfft magnitude": ((6,), lambda z: torch.fft.rfft(z).abs()),
    "irfft of angles": ((4,), lambda z: torch.fft.irfft(torch.polar(positive(z), z))),
    "stft": (
        (8,),
        lambda z: torch.stft(z, 4, window=torch.ones(4).double(), return_complex=True).abs(),
    ),
    "complex": ((4,), lambda z: (torch.complex(*z.chunk(2, 1)) ** 2).exp() * 1j),
    "complex angle": ((4,), lambda z: torch.complex(*z.chunk(2, 1)).angle()),
    "grid_sample": (
        (2, 3, 2),
        lambda z: F.grid_sample(z[:, :1, :, :].exp(), z[:, 1:].tanh() * 0.9, align_corners=False),
    ),
    "grid_sample bicubic": (
        (2, 3, 2),
        lambda z: F.grid_sample(z[:, :1].exp(), z[:, 1:].tanh() * 0.9, mode="bicubic", align_corners=True),
    ),
    "affine_grid": ((2, 3), lambda z: F.affine_grid(z.sin(), [len(z), 1, 2, 2], align_corners=True) ** 2),
    "interpolate area": ((1, 2, 4), lambda z: F.interpolate(z, (1, 2), mode="area").sin()),
    "interpolate antialias": (
        (1, 4, 4),
        lambda z: F.interpolate(z, (2, 3), mode="bilinear", antialias=True).sin(),
    ),
    "interpolate nearest-exact": ((1, 2, 2), lambda z: F.interpolate(z, (3, 3), mode="nearest-exact").sin()),
    "conv of itself": ((1, 4), lambda z: F.conv1d(z.transpose(0, 1), z[:, :, :2], groups=len(z))[0]),
    "max_unpool": ((1, 6), lambda z: F.max_unpool1d(*F.max_pool1d(z.sin(), 2, return_indices=True), 2)),
    "max_unpool2d": ((1, 2, 4), lambda z: F.max_unpool2d(*F.max_pool2d(z.sin(), 2, return_indices=True), 2)),
    "attention": ((2, 4), lambda z: F.scaled_dot_product_attention(z[:, None], z[:, None].sin(), z[:, None])),
    "attention causal": (
        (3, 2),
        lambda z: F.scaled_dot_product_attention(z[:, None], z[:, None], z[:, None].cos(), is_causal=True),
    ),
    "ctc": (
        (3, 3),
        lambda z: F.ctc_loss(
            z.log_softmax(2).transpose(0, 1),
            torch.tensor([[1], [2], [1], [2]])[: len(z)],
            torch.full((len(z),), 3),
            torch.ones(len(z), dtype=torch.long),
            reduction="none",
        ),
    ),
    "roll flip": ((2, 2), lambda z: (z.roll(1, 2) * z.flip(1)).rot90(1, (1, 2))),
    "unfold": ((5,), lambda z: z.unfold(1, 3, 2).prod(2)),
    "as_strided": ((4,), lambda z: z.as_strided((len(z), 3, 2), (4, 1, 1)).prod(2)),
    "repeat_interleave": ((3,), lambda z: z.repeat_interleave(2, 1).exp()),
    "cov": ((2, 3), lambda z: torch.stack([torch.cov(a) for a in z])),
    "trapezoid diff": ((4,), lambda z: torch.trapezoid(z.diff(dim=1) ** 2, dim=1)),
    "bilinear": ((2, 2), lambda z: F.bilinear(z[:, 0], z[:, 1], torch.ones(2, 2, 2).double().tril())),
}
OPERATIONS: dict[str, Maker] = {
    **{name: entry(name, lambda f=f: Apply(f, (4,)), numbers()) for name, f in ROW.items()},
    **{name: entry(name, lambda f=f, s=s: Apply(f, s), numbers()) for name, (s, f) in GRIDS.items()},
}
