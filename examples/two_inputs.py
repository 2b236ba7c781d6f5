"""A model of two inputs: hand them over as a tuple, ((left, right), y), as forward takes them.

python examples/two_inputs.py
"""

import torch
from dense import compare, dense_hessian
from torch import Tensor, nn

import scalecurv as sc


class Matching(nn.Module):
    """The score of each pair: users, described by 5 numbers, and items, by the numbers of 3 tags."""

    def __init__(self):
        super().__init__()
        self.user = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
        self.item = nn.Embedding(10, 4)

    def forward(self, user: Tensor, tags: Tensor) -> Tensor:
        return (self.user(user) * self.item(tags).mean(1)).sum(1)


def main() -> None:
    """Measure a model of two inputs; check one number."""
    torch.manual_seed(0)
    model = Matching().double()
    user, tags = torch.randn(50, 5, dtype=torch.float64), torch.randint(0, 10, (50, 3))
    liked = (torch.rand(50) < 0.5).double()

    problem = sc.Problem(model, ((user, tags), liked), loss=nn.BCEWithLogitsLoss())
    smallest = sc.lambda_min(problem)
    print(problem)
    print("lambda_min", smallest)

    # a dict goes to forward by name: the same numbers
    by_name = sc.Problem(model, ({"tags": tags, "user": user}, liked), loss=nn.BCEWithLogitsLoss())
    print("lambda_min, by name", sc.lambda_min(by_name))

    H = dense_hessian(model, nn.BCEWithLogitsLoss()(model(user, tags), liked))
    compare("lambda_min", smallest.value, torch.linalg.eigvalsh(H)[0])


if __name__ == "__main__":
    main()
