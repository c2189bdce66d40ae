"""Sends the same load through Pailou and other proxies, in turn, and compares what it costs.

| module | its one job |
|---|---|
| `options` | the command line, as set-ups and cases |
| `process` | a server in a process of its own, pinned, and what it has used |
| `peers` | one file per proxy: how it is found, configured and started |
| `wrk` | one load, by the generator |
| `measure` | the rounds |
| `summary` | medians, spreads and ratios of what was measured |
| `table`, `plot` | the summary for reading |
| `main` | all of it in order |
"""
