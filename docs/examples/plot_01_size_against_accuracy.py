"""
Size against accuracy
=====================

A small network is cheaper to ship, to run and to read. How small can it be before it gets worse?
This tutorial draws the answer for the handwritten digits of scikit-learn, lets cross-validation
choose a size, and shows the three ways to ask for one.
"""

# %%
# Rows to train on, to choose on, and to test on
# ----------------------------------------------
# The images have 8 x 8 pixels from 0 to 16. A size will be chosen by validation rows, so these are
# not the rows that we test on. The test rows are used once, at the end.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X = X / 16
X_rest, X_test, y_rest, y_test = train_test_split(
    X, y, test_size=0.25, stratify=y, random_state=0
)
X_train, X_val, y_train, y_val = train_test_split(
    X_rest, y_rest, test_size=0.25, stratify=y_rest, random_state=0
)
print(
    f"{len(X_train)} training, {len(X_val)} validation and {len(X_test)} test rows"
)

# %%
# Ten networks from one run
# -------------------------
# :func:`~fastl0.l0_path` trains a network down to half of its size, then prunes that network on to
# the next size, and so on. Each later size takes only a part of the epochs. What comes back is a
# list of fitted estimators with their sizes and their scores on the validation rows.

from fastl0 import HardL0MLPClassifier, l0_path

net = HardL0MLPClassifier(max_iter=80, random_state=0)
path = l0_path(X_train, y_train, estimator=net, X_val=X_val, y_val=y_val)

print("parameters  accuracy  units")
for size, score, clf in zip(
    path.n_parameters, path.scores, path.estimators, strict=True
):
    print(f"{size:10,}  {score:8.3f}  {'-'.join(map(str, clf.n_units_))}")

# %%
# The frontier, and what else one could use
# -----------------------------------------
# Is a network needed at all? We put two of scikit-learn's models beside the curve: a logistic
# regression, which has 650 parameters, and an MLP of the same shape as ours before pruning.

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from fastl0 import FrontierDisplay

logistic = LogisticRegression(max_iter=1000).fit(X_train, y_train)
mlp = MLPClassifier((200, 100), random_state=0).fit(X_train, y_train)
others = {
    "logistic regression": (
        logistic,
        logistic.coef_.size + logistic.intercept_.size,
        "s",
    ),
    "MLPClassifier": (
        mlp,
        sum(w.size for w in mlp.coefs_ + mlp.intercepts_),
        "^",
    ),
}

display = FrontierDisplay.from_path(
    path, score_name="validation accuracy", name="fastl0"
)
for name, (clf, n_parameters, marker) in others.items():
    score = clf.score(X_val, y_val)
    print(f"{name}: {n_parameters:,} parameters, accuracy {score:.3f}")
    display.ax_.plot(
        n_parameters,
        score,
        marker,
        color="#555555",
        ms=8,
        ls="none",
        label=name,
    )
display.ax_.legend(loc="lower right")
plt.show()

# %%
# Read the curve from the right: it is flat for a long way, and then it falls. A good size is near
# the bend. One validation row more or less is 0.3 points, so small ups and downs mean nothing. At
# the far left logistic regression is the better choice: as small as that, hidden layers do not pay.
#
# Let cross-validation choose
# ---------------------------
# :class:`~fastl0.HardL0MLPClassifierCV` goes down one path in every fold. It takes the smallest
# size whose mean score is within one standard error of the best, and trains a network of that size
# on all rows it was given.

from fastl0 import HardL0MLPClassifierCV

search = HardL0MLPClassifierCV(
    net, target_sizes=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02, 0.01], cv=5, n_jobs=2
)
search.fit(X_rest, y_rest)

FrontierDisplay.from_estimator(
    search, score_name="accuracy in cross-validation"
)
plt.show()

print(
    f"chosen: target_size={search.target_size_}, that is {search.n_parameters_:,} parameters"
)
print(f"accuracy on test rows: {search.score(X_test, y_test):.3f}")
mlp.fit(X_rest, y_rest)
print(
    f"MLPClassifier, {others['MLPClassifier'][1]:,} parameters: {mlp.score(X_test, y_test):.3f}"
)

# %%
# Ask for a size
# --------------
# Where the size is given by the device and not by a curve, say so directly: as a share of the
# parameters at the start, as a number of parameters, or in bytes. The fitted network never exceeds
# it.

print("target_size  parameters   bytes  accuracy")
for target_size in (0.05, 2000, "8KiB"):
    clf = HardL0MLPClassifier(
        target_size=target_size, max_iter=80, random_state=0
    )
    clf.fit(X_rest, y_rest)
    n_parameters, score = clf.n_parameters_, clf.score(X_test, y_test)
    print(
        f"{target_size!r:11}  {n_parameters:10,}  {4 * n_parameters:6,}  {score:8.3f}"
    )

# %%
# Weights are float32, so a parameter takes four bytes. Epochs matter as well: a network that has to
# become very small needs time to learn which units it can do without. The next tutorial,
# :ref:`sphx_glr_tutorials_plot_02_which_sensors_matter.py`, looks at the inputs that are left.
