"""Gaussian diffusion: the process that training inverts, and the samplers that generate with it."""
