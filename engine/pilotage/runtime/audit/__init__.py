"""The audit: who had what done, when and why, in a chain that shows every later change.

`entries` says what a row is and how rows are chained, `derive` makes rows of decisions, `store` is the file, `log` its one
writer, `desk` makes the rows that no decision holds, `anchors` are the files beside it, `reader` finds rows, `verify` judges the whole
(`chain_check`, `journal_check`).
"""
