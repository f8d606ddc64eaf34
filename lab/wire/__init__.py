"""The wire of a lab: a relay that breaks it on purpose, and the captures of it.

It runs in containers and namespaces of its own, beside the nodes, so it imports the standard library and
itself, nothing else of the lab.
"""
