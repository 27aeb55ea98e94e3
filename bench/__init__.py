"""Measurements that a person runs by hand. They are not deployed, and no test judges their figures."""
