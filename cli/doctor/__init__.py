"""The doctor: is this deployment in order, and where it is not, why and what to do about it."""
