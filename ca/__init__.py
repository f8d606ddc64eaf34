"""The certificate authority of the lab: issues certificates, keeps the valid ones, reissues the others.

Layers, each importing only those before it: `errors`, `keys`, `window`, `request`, `profiles`, `store`,
`authority`, `report`, `cli`. Nothing here knows the node or the lab: they meet it through files and
`python -m ca`.
"""
