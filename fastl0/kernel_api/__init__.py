"""What kernels and those who call them agree on; nothing here needs Numba.

`structs` holds the arguments of kernels, `codes` the numbers of activations, losses and solvers,
`tiles` the sizes of register tiles, by which buffers are padded, and `row_order` the order in
which an epoch visits the rows.
"""
