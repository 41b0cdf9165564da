"""The published sizes and errors that ``experiments frontier`` is drawn beside.

All are of MNIST and of 784-300-100-10 networks with whole inputs and hidden units removed. Where a
range of errors was published, its upper end is drawn and the range is in the name.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """The results of one method: parameters, test error in percent and its SD (0: not given).

    The protocol is one of ``pictures.PROTOCOLS``.
    """

    name: str
    protocol: str
    points: tuple[tuple[float, float, float], ...]


PUBLISHED = (
    Published("dense network", "not stated", ((266_610, 1.64, 0.0),)),
    # L0: Louizos, Welling and Kingma 2017, arXiv 1712.01312.
    Published("L0, lam 0.1", "best on test", ((69_590, 1.4, 0.0),)),
    Published("L0, lam per layer (1.6 to 1.8)", "best on test", ((26_773, 1.8, 0.0),)),
    Published("BC-GNJ", "best on test", ((28_769, 1.8, 0.0),)),
    Published("BC-GHS", "best on test", ((28_200, 1.8, 0.0),)),
    Published("L0-ARM (1.8 to 1.9)", "best on test", ((34_834, 1.9, 0.0),)),
    Published("VIBNet", "best on test", ((9_674, 1.6, 0.0),)),
    # arXiv 2208.04425, five seeds each.
    Published(
        "Gallego-Posada et al. 2022",
        "last epoch",
        (
            (70_854, 1.77, 0.08),
            (49_419, 1.91, 0.07),
            (28_237, 2.03, 0.13),
            (20_231, 2.19, 0.12),
            (9_091, 2.82, 0.31),
        ),
    ),
)
