# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A first look
#
# This notebook is made from `first_look.py` by `python examples/make_notebooks.py`, which runs every cell. Run it in
# the folder `examples`. It reads the store of the gallery: four runs of a small network, two learning rates times two
# seeds, trained by gradient descent until they fit 30 digits.

# %% [markdown]
# ## One model, without files
#
# An estimate shows its number with the interval to quote, a drawing, and how the number was obtained. The tick of the
# drawing is 0, the dot is the value, and the bar is the interval: a bar that is long beside the distance from 0 is a
# number to distrust.

# %%
import torch

import scalecurv as sc

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
x, y = torch.randn(100, 8), torch.randint(0, 3, (100,))
problem = sc.Problem(model, (x, y), loss="cross_entropy")
sc.trace(problem)  # 195 parameters: the Hessian is written out

# %%
sc.trace(problem, rtol=0.2)  # sampled, until the interval is within 20 % of the value

# %% [markdown]
# ## A store of many checkpoints

# %%
store = sc.open_store("gallery/store")
store

# %% [markdown]
# Every column of the table `results` can be drawn, and so can an expression of them, with its interval. Gradient
# descent is stable where lambda_max times half the learning rate is below 1.

# %%
store.plot.trajectories("lambda_max * lr / 2", color="lr", style="run_seed", lines={1.0: "edge of stability"})

# %%
store.plot.trajectories("scalar_curvature", color="lr", style="run_seed")

# %% [markdown]
# The same numbers, by SQL:

# %%
store.sql("select run, lr, lambda_max, lambda_max_lower, lambda_max_upper from results where step = 10000 order by run")

# %% [markdown]
# ## The spectrum at one step
#
# A step and a run choose a checkpoint. `store.spectrum` returns the stored Gauss rules, which `sc.density` smooths.

# %%
rule = store.spectrum(step=1000, run="lr0.1_seed0")
rule

# %%
store.plot.spectrum(run="lr0.1_seed0", steps=1000)

# %% [markdown]
# Stored arrays have names; a name that is not there lists those that are.

# %%
store.array("ritz_values", step=1000, run="lr0.1_seed0")[-5:]

# %% [markdown]
# ## Over runs and steps
#
# `to_xarray` has a dimension for runs and one for steps. The attributes of runs are coordinates.

# %%
data = store.to_xarray(["trace", "lambda_max"])
share = data["lambda_max"] / data["trace"]  # of the trace that is in one direction
share.groupby("lr").mean().sel(step=[0, 100, 10000]).to_pandas()

# %% [markdown]
# `store.plot.compare`, `store.plot.layers` and others are in the gallery. `scalecurv report` makes a page of all of
# this, and `scalecurv export --to tensorboard` puts the numbers beside the curves of the training.
