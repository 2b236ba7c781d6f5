"""A plain PyTorch loop: save the weights as you train, then ask for the sharpness at every checkpoint.

python examples/plain_loop.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from dense import compare, dense_hessian
from torch import nn
from torch.nn import functional as F

import scalecurv as sc


def network() -> nn.Sequential:
    """Return an untrained 6-8-3 network."""
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def main(folder: Path) -> None:
    """Train and save; analyse; read the table; check its last row."""
    torch.manual_seed(0)
    x = torch.randn(100, 6)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()  # classes 0, 1, 2

    # 1. Your training loop. It knows nothing of scalecurv.
    model, runs = network(), folder / "runs"
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    runs.mkdir()
    for step in range(101):
        if step % 25 == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, runs / f"step_{step}.pt")
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    torch.save((x, y), folder / "data.pt")

    # 2. One call for the whole directory. In a shell it is
    #    scalecurv analyze runs store --data data.pt --loss cross_entropy --activation relu --measure lambda_max
    sc.sweep(
        runs,
        folder / "store",
        data=folder / "data.pt",
        loss="cross_entropy",
        activation="relu",
        measures=("loss", "lambda_max"),
        dtype="float64",
        engine="serial",
    )

    # 3. One query. A row is a checkpoint; its step comes from the name of the file.
    table = sc.open_store(folder / "store").sql("select step, loss, lambda_max from results order by step")
    print(table.to_string(index=False))

    # 4. The last number, checked.
    model.load_state_dict(torch.load(runs / "step_100.pt")["model"])
    model.double()
    H = dense_hessian(model, F.cross_entropy(model(x.double()), y))
    compare("lambda_max at step 100", table["lambda_max"].iloc[-1], torch.linalg.eigvalsh(H)[-1])


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        main(Path(name))
