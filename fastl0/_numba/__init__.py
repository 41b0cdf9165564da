"""The kernels: they compute on memory that others own.

From the top down: `train_loop` goes through the mini-batches. For each it draws `gates`, lists
`active_units`, and takes the rows through `layers`, which call `matmul`, `activations` and
`losses`; `update` then moves the weights by a step of `optimizers`. `permutation` gives the order
of the rows, and `single_row` is the way of mini-batches of one row. `layer` finds the numbers of a
layer, `elementwise` holds the small kernels that others are made of, and `jit` says how all are
compiled.

`entry_points` holds the two kernels that are called from outside, and `ahead_of_time` makes
machine code of them when the package is built.
"""
