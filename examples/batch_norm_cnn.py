"""A CNN with batch norm, in a notebook: a DataLoader as it is, and the loss object of the training.

python examples/batch_norm_cnn.py
"""

import torch
from dense import compare, dense_hessian
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import scalecurv as sc


def network() -> nn.Sequential:
    """Return an untrained CNN of 109 parameters for images of 8 x 8 pixels and 3 classes."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 3),
    )


def main() -> None:
    """Train; take the network to eval mode; measure it; check one number."""
    torch.manual_seed(0)
    images, classes = torch.randn(60, 1, 8, 8), torch.randint(0, 3, (60,))
    data = TensorDataset(images + classes[:, None, None, None], classes)

    model, criterion = network(), nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(3):
        for x, y in DataLoader(data, batch_size=20, shuffle=True):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()

    # In eval mode batch norm uses its running statistics and dropout is off. The loss is then a sum over samples, so
    # its Hessian is defined, and does not depend on the size of batches. In train mode it would be neither.
    model.double().eval()
    loader = DataLoader(data, batch_size=20)  # in a fixed order: no shuffle
    problem = sc.Problem(model, loader, loss=criterion)
    print(problem)
    print("trace", sc.trace(problem))
    largest = sc.lambda_max(problem)
    print("lambda_max", largest)

    x, y = (torch.cat(parts) for parts in zip(*loader, strict=True))
    H = dense_hessian(model, criterion(model(x.double()), y))
    compare("lambda_max", largest.value, torch.linalg.eigvalsh(H)[-1])


if __name__ == "__main__":
    main()
