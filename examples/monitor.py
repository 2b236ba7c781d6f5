"""A loop of my own that measures while it trains, and one store for these measurements and the saved checkpoints.

python examples/monitor.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from dense import compare, dense_hessian
from torch import nn

import scalecurv as sc
from scalecurv.callbacks import Monitor


def main(folder: Path) -> None:
    """Train, measure and save; analyse what was saved; check the trace at the last step."""
    torch.manual_seed(0)
    x, y = torch.randn(200, 4), torch.arange(200) % 3
    (folder / "run").mkdir()
    np.savez(folder / "data.npz", x=x.numpy(), y=y.numpy())
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    monitor = Monitor(
        folder / "data.npz",
        "cross_entropy",
        measures=("trace", "lambda_max"),
        every=50,
        budget=None,  # the default keeps measurements within 5 % of the time
        dtype="float64",
        activation="tanh",  # so that the numbers are those of the saved checkpoints, too
        store=folder / "store",
        run=folder / "run",
        attributes={"lr": 0.1},
    )
    for step in range(101):
        if step % 50 == 0:
            torch.save(model.state_dict(), folder / "run" / f"step_{step}.pt")
        if found := monitor(model, step):  # before this step's update
            print(
                f"step {step:3}: trace {found['trace']}, lambda_max {found['lambda_max']}, lr lambda_max / 2 = ", end=""
            )
            print(f"{0.1 * found['lambda_max'].value / 2:.3f}")
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    # The command finds the checkpoints measured already; here it adds another quantity. In a shell:
    #    scalecurv analyze run store --data data.npz --loss cross_entropy --activation tanh --measure gradient
    options = {"data": folder / "data.npz", "loss": "cross_entropy", "activation": "tanh", "dtype": "float64"}
    done = sc.sweep(
        folder / "run", folder / "store", measures=("trace", "gradient"), rtol=0.1, engine="serial", **options
    )
    print({record.measure for outcome in done for record in outcome.records}, "was left to compute")
    table = sc.open_store(folder / "store").sql("select step, loss, trace, lr from results order by step")
    print(table.to_string(index=False))

    model.load_state_dict(torch.load(folder / "run" / "step_100.pt"))
    model.double()
    H = dense_hessian(model, nn.functional.cross_entropy(model(x.double()), y))
    compare("trace at step 100", table["trace"].iloc[-1], H.trace())


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        main(Path(name))
