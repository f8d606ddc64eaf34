"""`ipseclab doctor`: can this machine run a lab, and if not, what helps.

1. A probe does the thing itself (opens the device, binds the port, makes the network) and takes it back.
2. Every finding that is not ok has a stable code and one remedy.
3. No probe needs root, none may take longer than its own time limit, and all run at once.

What must not be here: anything that changes the machine.
"""
