"""The history of values: what each point was, with its quality, for charts, exports and reports.

It has a file of its own, which may lose moments under trouble; the journal may not. Rules never read it.
"""
