"""Plays Meta: signs webhook bodies and posts them.

`command` is `python -m dev send`. `webhook` signs and posts one body, `redate` moves the times in bodies to now,
`samples` lists the files in `dev/samples/`.
"""
