"""JSON lines over Unix sockets and pipes, for the node and for the wire alike; the standard library alone.

answers     what a request is answered with
server      a control socket that is served
client      a control socket that is asked; imports little, for a container runs it as its healthcheck
writer      whole lines into a pipe, whatever its reader does
"""
