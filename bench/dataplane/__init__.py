"""Our node beside named peers: what goes through a tunnel between two network namespaces, in one run.

__main__    the command; it holds the namespaces' first process on a leash, and reports
inside      that process: makes the places, starts the peers, measures in turns
place       two network namespaces and a veth pair, what runs there, and its CPU time
peers       the peers: how each is found, configured and started
figures     what is measured, and in which unit
readings    what iperf3, ping, swanctl and /proc say, as numbers
report      medians, ratios inside a round, the table
plot        the picture
"""
