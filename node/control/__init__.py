"""The control socket: what is asked over it, and the client `python -m node ctl`. linetalk has the rest.

The client side imports nothing but the standard library: a container runs it every second as its healthcheck.
"""
