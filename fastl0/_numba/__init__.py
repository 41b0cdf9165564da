"""All that Numba compiles: kernels that compute on memory of others."""
