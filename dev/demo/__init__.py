"""`make demo`: the whole pipeline on this machine, shown to somebody who sees it for the first time.

Must not be imported by anything that is deployed.
"""
