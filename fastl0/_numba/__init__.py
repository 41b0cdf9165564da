"""All that Numba compiles: kernels that compute on borrowed memory."""
