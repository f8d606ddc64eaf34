"""The wire of a lab: a relay that breaks it on purpose, and the captures of it.

It runs in containers and namespaces of its own, beside the nodes, so it imports the standard library,
itself and linetalk, nothing else of the lab.

    identity, der            what a datagram is, by its cleartext header
    patterns, faults, config what a user writes, strictly read (problems: how mistakes are named)
    dice, acts, engine       which faults act, what they do, and when: without sockets and clocks
      holding, flood         what waits, and the pace of a flood
      profiles, forge_*      what an attacker can make without keys
    relay, nat, udp, names   sockets and addresses around the engine
      spoof                  datagrams from addresses that are nobody's
      packets, recorder      the capture of a relay (pcapng: the file)
    sniff                    the capture of an interface
    readdress                another address for a host
    service, answers, client, eventlog, cli        processes, and what they tell
"""
