"""Networks of several parts: recurrent, attending, embedding, parametrised."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations as P
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tests.zoo_drawn import Maker, entry, numbers, small, using, words


def normed(layer: nn.Module) -> nn.Module:
    """The older weight norm, whose warning is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


def hidden(net: nn.Module, x: Tensor) -> Tensor:
    """The states after each of x's steps by a cell."""
    state, out = None, []
    for step in x.unbind(1):
        state = net(step, state)
        out.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(out, 1)


def last(net: Any, x: Tensor) -> Tensor:
    return net(x)[0]


SEQUENCES: dict[str, Callable[[], nn.Module]] = {
    "RNN": using(lambda: nn.RNN(2, 3, batch_first=True), last),
    "RNN relu": using(lambda: nn.RNN(2, 3, nonlinearity="relu", batch_first=True), last),
    "LSTM": using(lambda: nn.LSTM(2, 2, batch_first=True), last),
    "LSTM two layers": using(lambda: nn.LSTM(2, 1, num_layers=2, batch_first=True), last),
    "LSTM bidirectional": using(lambda: nn.LSTM(2, 1, bidirectional=True, batch_first=True), last),
    "LSTM projected": using(lambda: nn.LSTM(2, 2, proj_size=1, batch_first=True), last),
    "LSTM time first": using(lambda: nn.LSTM(2, 2), lambda net, x: net(x.transpose(0, 1))[0].transpose(0, 1)),
    "GRU": using(lambda: nn.GRU(2, 2, batch_first=True), last),
    "GRU bidirectional": using(lambda: nn.GRU(2, 1, bidirectional=True, batch_first=True), last),
    "RNNCell": using(lambda: nn.RNNCell(2, 3), hidden),
    "LSTMCell": using(lambda: nn.LSTMCell(2, 2), hidden),
    "GRUCell": using(lambda: nn.GRUCell(2, 2), hidden),
    "self-attention": using(lambda: nn.MultiheadAttention(2, 1, batch_first=True), lambda net, x: net(x, x, x)[0]),
    "cross-attention": using(
        lambda: nn.MultiheadAttention(2, 2, kdim=1, vdim=1, batch_first=True, add_bias_kv=True),
        lambda net, x: net(x, x[..., :1], x[..., 1:], need_weights=False)[0],
    ),
    "masked attention": using(
        lambda: nn.MultiheadAttention(2, 1, batch_first=True),
        lambda net, x: net(x, x, x, attn_mask=torch.full((3, 3), -torch.inf).double().triu(1))[0],
    ),
    "Conv1d of sequences": lambda: nn.Sequential(nn.Conv1d(3, 2, 2), nn.GELU(), nn.Flatten()),
}
TRANSFORMERS: dict[str, Callable[[], nn.Module]] = {
    "encoder layer": lambda: nn.TransformerEncoderLayer(3, 1, 3, batch_first=True),
    "encoder layer norm first": lambda: nn.TransformerEncoderLayer(3, 1, 3, 0.0, "gelu", norm_first=True),
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(3, 1, 1, batch_first=True), 1, nn.LayerNorm(3), enable_nested_tensor=False
    ),
    "decoder layer": using(
        lambda: nn.TransformerDecoderLayer(3, 1, 2, batch_first=True), lambda net, x: net(x, x.flip(1))
    ),
    "Transformer": using(
        lambda: nn.Transformer(3, 1, 1, 1, 1, batch_first=True, norm_first=True), lambda net, x: net(x, x[:, :1])
    ),
    "encoder with padding": using(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(3, 1, 2, batch_first=True), 1),
        lambda net, x: net(x, src_key_padding_mask=torch.tensor([[False, True]]).expand(len(x), 2)),
    ),
}
PLAIN: dict[str, Callable[[], nn.Module]] = {
    "weight_norm": lambda: nn.Sequential(P.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2)),
    "weight_norm dim 1": lambda: nn.Sequential(P.weight_norm(nn.Linear(3, 4), dim=1), nn.Tanh(), nn.Linear(4, 2)),
    "weight_norm dim None": lambda: nn.Sequential(P.weight_norm(nn.Linear(3, 4), dim=None), nn.Tanh()),
    "weight_norm hook": lambda: nn.Sequential(normed(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2)),
    "weight_norm conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)), P.weight_norm(nn.Conv1d(1, 2, 2)), nn.Flatten(), nn.Tanh()
    ),
    "weight_norm transposed conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)), P.weight_norm(nn.ConvTranspose1d(1, 2, 2), dim=1), nn.Flatten(), nn.Tanh()
    ),
    "spectral_norm": lambda: nn.Sequential(P.spectral_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2)),
    "orthogonal exp": lambda: nn.Sequential(P.orthogonal(nn.Linear(3, 3), orthogonal_map="matrix_exp"), nn.Tanh()),
    "orthogonal cayley": lambda: nn.Sequential(P.orthogonal(nn.Linear(3, 3), orthogonal_map="cayley"), nn.Tanh()),
    "orthogonal householder": lambda: nn.Sequential(P.orthogonal(nn.Linear(3, 3), orthogonal_map="householder")),
    "Bilinear": using(lambda: nn.Bilinear(2, 2, 3), lambda net, x: net(x[:, :2], x[:, 1:]).sin()),
    "adaptive softmax": using(
        lambda: nn.AdaptiveLogSoftmaxWithLoss(3, 5, [2], div_value=1.5), lambda net, x: net.log_prob(x)
    ),
    "checkpoint": using(small, lambda net, x: checkpoint(net, x, use_reentrant=False)),
    "checkpoint sequential": using(small, lambda net, x: checkpoint_sequential(net, 2, x, use_reentrant=False)),
    "squeezed": using(lambda: nn.Linear(3, 1), lambda net, x: net(x).squeeze(1).sin()[:, None]),
    "tied": using(lambda: nn.Linear(3, 3), lambda net, x: net(net(x).tanh()) @ net.weight.T),
}
INDICES: dict[str, Callable[[], nn.Module]] = {
    "Embedding": using(lambda: nn.Embedding(5, 2), lambda net, x: net(x).sin()),
    "Embedding sparse": using(lambda: nn.Embedding(5, 2, sparse=True), lambda net, x: net(x).sin()),
    "Embedding by frequency": using(lambda: nn.Embedding(5, 2), lambda net, x: F.one_hot(x, 5).double() @ net.weight),
    "Embedding max_norm": using(lambda: nn.Embedding(5, 2, max_norm=100.0), lambda net, x: net(x).sin()),
    "Embedding padded": using(lambda: nn.Embedding(5, 2, padding_idx=0), lambda net, x: net(x).prod(1)),
    "EmbeddingBag padded": using(lambda: nn.EmbeddingBag(5, 2, padding_idx=0), lambda net, x: net(x).sin()),
    "EmbeddingBag sum": using(lambda: nn.EmbeddingBag(5, 3, mode="sum"), lambda net, x: net(x).sin()),
    "EmbeddingBag mean": using(lambda: nn.EmbeddingBag(5, 3), lambda net, x: net(x).sin()),
    "EmbeddingBag max": using(lambda: nn.EmbeddingBag(5, 3, mode="max"), lambda net, x: net(x).sin()),
    "EmbeddingBag weighted": using(
        lambda: nn.EmbeddingBag(5, 3, mode="sum"),
        lambda net, x: net(x, per_sample_weights=net.weight[x, 0].exp()).sin(),
    ),
    "EmbeddingBag of offsets": using(
        lambda: nn.EmbeddingBag(5, 3, include_last_offset=True),
        lambda net, x: net(x.flatten(), torch.arange(0, 3 * len(x) + 1, 3)).sin(),
    ),
}
FIXED = {"Embedding padded": 2}  # first coordinates that torch holds fixed though the loss depends on them
NETS: dict[str, Maker] = {
    **{name: entry(name, make, numbers()) for name, make in PLAIN.items()},
    **{name: entry(name, make, numbers(3, 2)) for name, make in SEQUENCES.items()},
    **{name: entry(name, make, numbers(2, 3)) for name, make in TRANSFORMERS.items()},
    **{name: entry(name, make, words(3, 5)) for name, make in INDICES.items()},
}
