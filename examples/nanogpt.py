"""A language model as nanoGPT trains it: ckpt.pt of a compiled model, logits (N, T, V), targets (N, T) with -100.

python examples/nanogpt.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from dense import compare, dense_hessian
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import scalecurv as sc

SHAPE = {"vocab_size": 7, "block_size": 6, "n_embd": 4, "n_head": 2, "n_layer": 1}


class Block(nn.Module):
    """Attention to what came before, then an MLP, each beside a residual connection."""

    def __init__(self, n_embd: int, n_head: int):
        super().__init__()
        self.n_head = n_head
        self.ln_1, self.ln_2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.c_attn, self.c_proj = nn.Linear(n_embd, 3 * n_embd), nn.Linear(n_embd, n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 2 * n_embd), nn.GELU(), nn.Linear(2 * n_embd, n_embd))

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in self.c_attn(self.ln_1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """Token numbers (N, T) to logits (N, T, V); the matrix of the head is that of the embedding."""

    def __init__(self, vocab_size: int, block_size: int, n_embd: int, n_head: int, n_layer: int):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab_size, n_embd), nn.Embedding(block_size, n_embd)
        self.blocks = nn.ModuleList(Block(n_embd, n_head) for _ in range(n_layer))
        self.ln_f, self.lm_head = nn.LayerNorm(n_embd), nn.Linear(n_embd, vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def gpt() -> GPT:
    """Return an untrained model; scalecurv calls this function and loads the weights into it."""
    return GPT(**SHAPE)


def loss_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean over all tokens that count, as nanoGPT's forward does."""
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), ignore_index=-100)


def main(folder: Path) -> None:
    """Train and save; analyse; check the trace at the last step."""
    torch.manual_seed(0)
    tokens = torch.randint(0, 7, (97,))
    x, y = tokens[:-1].view(16, 6), tokens[1:].view(16, 6).clone()
    y[::2, :3] = -100  # prompts, which do not count

    model, run = gpt(), folder / "run"
    compiled = torch.compile(model)  # names in its state_dict begin with _orig_mod.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    run.mkdir()
    for step in range(21):
        if step % 10 == 0:
            state = {"model": compiled.state_dict(), "optimizer": optimizer.state_dict(), "model_args": SHAPE}
            more = {"iter_num": step, "best_val_loss": torch.tensor(1e9), "config": {"dataset": "random"}}
            torch.save(state | more, run / f"ckpt_{step}.pt")
        optimizer.zero_grad()
        loss_of(model, x, y).backward()
        optimizer.step()
    torch.save((x, y), folder / "data.pt")

    # -100 is torch's mark for what does not count, and cross_entropy takes the mean over the rest. In a shell, in this
    # directory:
    #    scalecurv analyze run store --data data.pt --model nanogpt:gpt --loss cross_entropy --measure trace
    sc.sweep(
        run,
        folder / "store",
        data=folder / "data.pt",
        model="nanogpt:gpt",
        loss="cross_entropy",
        measures=("loss", "trace"),
        dtype="float64",
        engine="serial",
    )
    table = sc.open_store(folder / "store").sql("select step, loss, trace from results order by step")
    print(table.to_string(index=False))

    compiled.load_state_dict(torch.load(run / "ckpt_20.pt")["model"])
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention have no second derivative
        H = dense_hessian(model.double(), loss_of(model, x, y))
    compare("trace at step 20", table["trace"].iloc[-1], H.trace())


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        main(Path(name))
