"""Reading a capture without the node: a DER schema of its own on pyasn1, keys from the key log.

An independent judge of the wire.
"""
