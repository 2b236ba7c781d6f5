"""A zoo: every kind of layer and operation of torch that can be differentiated twice, each in a network of few weights.

An entry is a name and a maker of (module in float64 and eval mode, x, number of outputs). SERVED must be right in every
product; REFUSED, with the reason, must end as one line of ours. FIXED names
coordinates whose gradient is zero by design, though the loss depends on them.
"""

from tests.zoo_autograd import AUTOGRAD, REFUSED
from tests.zoo_drawn import Maker
from tests.zoo_layers import LAYERS
from tests.zoo_nets import FIXED, NETS
from tests.zoo_operations import OPERATIONS

SERVED: dict[str, Maker] = {**LAYERS, **OPERATIONS, **NETS, **AUTOGRAD}
__all__ = ["FIXED", "REFUSED", "SERVED"]
