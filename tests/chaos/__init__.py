"""`make chaos`: the pipeline under everything that happens to real systems, held against a model of what was sent.

Must not be imported by anything that is deployed.
"""
