"""Adapters in processes of their own: what they do wrong stays there.

`host` is in the engine and looks like any adapter; `keeper` is the process that it starts, which loads the plugin and forks
`child`, which runs the adapter. They speak `wire` over local sockets. `factory` joins this to the catalogue of plugins.
"""
