"""
Shrink a network
================

A network on the digits loses units, epoch by epoch.
"""

from sklearn.datasets import load_digits

from fastl0 import HardL0MLPClassifier, PruningDisplay

X, y = load_digits(return_X_y=True)
clf = HardL0MLPClassifier(max_iter=60, random_state=0).fit(X / 16, y)
PruningDisplay.from_estimator(clf)
