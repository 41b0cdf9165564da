"""
Which sensors matter
====================

A sensor that nobody reads need not be bought, wired or calibrated. fastl0 deletes inputs while it
trains, so the fitted network says which sensors it still needs. Here we know the answer before we
start, and see how far the network finds it.
"""

# %%
# Forty sensors, five of which matter
# -----------------------------------
# The numbers come from Friedman's test function, in which the target depends on five inputs, on two
# of them through their product and on one through its square. We give the inputs names, add a
# second gauge that shows what another one shows, with some noise, and leave 34 sensors that measure
# nothing of interest.

import numpy as np
import pandas as pd
from sklearn.datasets import make_friedman1
from sklearn.model_selection import train_test_split

X, y = make_friedman1(n_samples=2500, n_features=40, noise=1.0, random_state=0)
names = ["flow", "pressure", "angle", "current", "heat", "current_2"]
names += [f"spare_{i:02}" for i in range(1, 35)]
X = pd.DataFrame(X, columns=names)
X["current_2"] = X["current"] + np.random.default_rng(0).normal(0, 0.1, len(X))

X_rest, X_test, y_rest, y_test = train_test_split(
    X, y, test_size=700, random_state=0
)
X_train, X_val, y_train, y_val = train_test_split(
    X_rest, y_rest, test_size=600, random_state=0
)
print(f"{X_train.shape[0]} training rows, {X_train.shape[1]} sensors")

# %%
# Train, and ask what is left
# ---------------------------
# Nothing has to be switched on: inputs carry gates unless ``gate_inputs=False``. We ask for a tenth
# of the parameters and compare, on validation rows, with a network of that size that has to read
# all inputs. Inputs are standardised first; ``set_output`` hands the names of the columns on.

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastl0 import HardL0MLPRegressor


def make_model(**settings):
    return make_pipeline(
        StandardScaler().set_output(transform="pandas"),
        HardL0MLPRegressor(
            target_size=0.1, max_iter=60, random_state=0, **settings
        ),
    )


model = make_model().fit(X_train, y_train)
net = model[-1]
print("kept:", *net.feature_names_in_[net.support_])

blind = make_model(gate_inputs=False).fit(X_train, y_train)
for label, m in (
    ("inputs are deleted", model),
    ("all inputs are read", blind),
):
    print(
        f"{label}: {m[-1].n_units_[0]:2} inputs, {m[-1].n_parameters_:,} parameters, "
        f"R2 {m.score(X_val, y_val):.3f}"
    )

# %%
# ``support_`` says which inputs are read, ``feature_importances_`` how strongly the prediction
# depends on each, and :class:`~fastl0.SupportDisplay` draws both. All five sensors are found, and
# no spare one is left. The second gauge stays beside the first, with a small share: it tells
# nothing new, but the network was free to spread the work over both.

import matplotlib.pyplot as plt

from fastl0 import SupportDisplay

SupportDisplay.from_estimator(net)
plt.show()

# %%
# Could one have seen this without a network? Correlations find the sensors that act along a
# straight line. ``angle`` acts through its square: half of the time more of it means more, half of
# the time less. Gradient boosting finds it as well, and it is a good model here, but it reads all
# forty inputs.

from sklearn.ensemble import HistGradientBoostingRegressor

correlation = X_train.corrwith(pd.Series(y_train, X_train.index)).abs()
ranks = correlation.rank(ascending=False).astype(int)
print("ranks:", ", ".join(f"{name} {ranks[name]}" for name in names[:6]))

trees = HistGradientBoostingRegressor(random_state=0).fit(X_train, y_train)
print(f"gradient boosting: R2 {trees.score(X_val, y_val):.3f}")

# %%
# What an input is worth
# ----------------------
# `input_price` says how dear the parameters of inputs are beside those of hidden units; the default
# is 3. Raise it where a sensor costs money: the network then gives up sensors first and units
# later. Three seeds each show how far the answer depends on chance.

prices = [0.3, 1, 3, 10, 30]
lost = {price: set() for price in prices}
n_sensors, scores = np.empty((len(prices), 3)), np.empty((len(prices), 3))
for i, price in enumerate(prices):
    for seed in range(3):
        m = make_model(input_price=price)
        m[-1].set_params(random_state=seed)
        m.fit(X_train, y_train)
        lost[price] |= set(names[:5]) - set(m[-1].get_feature_names_out())
        n_sensors[i, seed], scores[i, seed] = (
            m[-1].support_.sum(),
            m.score(X_val, y_val),
        )

fig, axes = plt.subplots(2, sharex=True, layout="constrained")
for ax, values, label in zip(
    axes, (n_sensors, scores), ("sensors kept", "validation R2"), strict=True
):
    ax.plot(prices, values, "o", color="#0072B2", alpha=0.5)
    ax.plot(prices, values.mean(axis=1), color="#0072B2")
    ax.set(ylabel=label, xscale="log")
    ax.grid(color="#DDDDDD")
axes[0].axhline(5, color="#555555", ls=":", label="five sensors matter")
axes[0].set_ylim(0, None)
axes[0].legend()
axes[1].set_xticks(prices, [f"{price:g}" for price in prices])
axes[1].set_xticks([], minor=True)
axes[1].set_xlabel("input_price")
plt.show()

for price in prices[2:]:
    print(
        f"input_price={price}: of the five, lost: {', '.join(sorted(lost[price])) or 'none'}"
    )

# %%
# Too low a price keeps spare sensors, too high a price deletes sensors that matter, and the score
# on validation rows tells of both. The number alone does not: at a price of 10 five sensors are
# kept, but the second gauge for the current is among them and ``angle`` is not. Of two sensors that
# show nearly the same, both may stay.
#
# Use what was found
# ------------------
# The fitted network is a selector, too: ``transform`` and ``get_feature_names_out`` keep the
# columns that are read, so any other model can be trained on them. The price was chosen above, so
# the test rows may speak now.

selected = model[-1].get_feature_names_out()
trees_selected = HistGradientBoostingRegressor(random_state=0).fit(
    X_train[selected], y_train
)
print("test R2")
for label, score in (
    (f"fastl0, {len(selected)} sensors", model.score(X_test, y_test)),
    ("gradient boosting, 40 sensors", trees.score(X_test, y_test)),
    (
        f"gradient boosting, the same {len(selected)}",
        trees_selected.score(X_test[selected], y_test),
    ),
):
    print(f"  {label:30} {score:.3f}")

# %%
# Gradient boosting gains from the selection as well, and is then as good as the network: which
# sensors to read is worth knowing whatever predicts in the end.
