"""The world outside: UDP, TUN, netlink, name resolution, the clock.

The only sockets of a node besides control and demo.
"""
