"""The audit: who had what done, when and why, in a chain that shows every later change.

`entries` says what a row is and how rows are chained, `derive` makes rows of decisions, `store` is the file, `log` its one
writer, `anchors` the files beside it, `reader` finds rows, `verify` judges the whole.
"""
