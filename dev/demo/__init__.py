"""`make demo`: shows the whole pipeline, on this machine, to somebody who sees it for the first time.

`story` says what is posted, `steps` in which order, `pipeline` posts and reads, `counts` compares, `tables` and
`progress` draw.
"""
