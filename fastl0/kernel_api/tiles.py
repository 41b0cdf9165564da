"""Sizes of the tiles in which matrix products are computed (``_vectors.h``).

A tile, one row of the right factor and one number of the left have to fit into the vector
registers: 32 of them with AVX-512 and on 64-bit ARM, else 16.
"""

from typing import NamedTuple


class TileShape(NamedTuple):
    """Floats in a vector, rows of a tile, vectors in one of its rows."""

    lanes: int
    rows: int
    vectors: int


#: By instruction set, from the plainest to the widest of each architecture; as in
#: ``_variants.h``.
TILE_SHAPES = {
    "generic": TileShape(4, 6, 2),
    "baseline": TileShape(4, 6, 2),
    "avx2": TileShape(8, 6, 2),
    "avx512": TileShape(16, 8, 3),
    "neon": TileShape(4, 8, 3),
}

#: The most lanes, rows and columns of a tile on any machine. Buffers have room for as many on
#: all: the same network then takes the same bytes, and a budget the same mini-batches, everywhere.
MAX_LANES, MAX_TILE_ROWS, MAX_TILE_COLUMNS = 16, 8, 48

#: Entries by which a tile may read or write past the last column of a row, on any machine.
PADDING = MAX_LANES - 1


def padded(n_columns: int) -> int:
    """Length of a row with room for whole vectors of any machine."""
    return -(-n_columns // MAX_LANES) * MAX_LANES
