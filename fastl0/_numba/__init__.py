"""All that Numba compiles: kernels that compute on memory that others own.

From the top down: `train_loop` goes through the mini-batches. For each it draws `gates`, lists
`active_units`, and takes the rows through `layers`, which call `matmul`, `activations` and
`losses`; `update` then moves the weights by a step of `optimizers`. `permutation` gives the order
of the rows, and `single_row` is the way of mini-batches of one row. `structs` holds what kernels
get, `elementwise` the small kernels that others are made of, and `jit` how all are compiled.
"""
