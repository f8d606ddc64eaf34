"""The sans-IO engine of IKEv2 (layer 3).

No sockets, no clock, no randomness of its own, blind to the wire profile.
"""
