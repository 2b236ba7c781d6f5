"""The choice among all rows of a number at a checkpoint: the one that says most about it."""

import math

import pandas as pd

from scalecurv.store.frames import best_of
from scalecurv.store.reader import half_lengths
from scalecurv.store.schema import ANALYSED


def sharpest(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row of each quantity and component: of those that did not fail, the sharpest of the last version.

    Of sampled rows that is the one of most products, unless another has an interval less than half as long: a
    choice by length alone would favour those that are short by chance. It then competes with the rows that are not
    sampled by the lengths of their intervals.
    """
    identity = [*ANALYSED, "quantity", "component"]
    rows = rows.assign(
        good=rows["status"] != "failed",
        exact=rows["status"] == "exact",
        sharp=-half_lengths(rows).fillna(math.inf),  # what does not apply gives way to any number
    )
    sampled = rows[(rows["stderr"] > 0) & rows["good"] & ~rows["exact"]]
    most = best_of(sampled, identity, ["version", "num_matvecs", "created"])
    shortest = best_of(sampled, identity, ["version", "sharp", "num_matvecs", "created"])
    two = pd.concat([most.assign(worth=most["sharp"] / 2), shortest.assign(worth=shortest["sharp"])])
    one = best_of(two.reset_index(), identity, ["version", "worth", "num_matvecs", "created"]).set_index("index")
    others = rows.drop(index=sampled.index)
    order = ["good", "version", "exact", "sharp", "num_matvecs", "created"]
    best = best_of(pd.concat([others, one.drop(columns="worth")]), identity, order)
    return best.sort_index().drop(columns=["good", "exact", "sharp"])
