"""A QuickBooks Online on your machine: OAuth and the accounting API over HTTP, stateful, with faults on demand.

It imports nothing of the operator, and the operator nothing of it: they meet on the wire.
`server.serve` runs it; `server.SimulatorOptions` says how. docs/simulator.md is its manual.
"""
