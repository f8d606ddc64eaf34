"""A node as three processes: what each of them takes along, and what it lets go of.

supervisor    sockets, TUN device and channel, to hand them down
IKE process   its UDP sockets, its end of the channel, its tie; all that `node.daemon.node` opens
ESP process   TUN device, its UDP socket, its end of the channel, its tie; the standard error
"""

import os
from collections.abc import Callable

from node.daemon.channel import Channel, pair
from node.daemon.espd import EspProcess
from node.daemon.failure import StartError
from node.daemon.pump import Watch
from node.daemon.start import Apart, Prepared
from node.daemon.supervisor import Process, Supervisor
from node.daemon.tie import Tie
from node.errors import LocalMisuse
from node.esp.sa import Volume
from node.net import privileges


def run(prepared: Prepared, live: Callable[[Apart], int]) -> int:
    """Become the supervisor of what `live` does in the IKE process; the exit code. Raises StartError."""
    tun, esp = prepared.tun, prepared.esp
    if tun is None or esp is None:
        raise LocalMisuse("an ESP process needs a TUN device and a socket")
    line, esp_user = esp
    ike_end, esp_end = pair()

    def ike(tie: Tie) -> int:
        tun.close()
        line.udp.close()
        esp_end.close()
        return live(Apart(ike_end, tie))

    def data_path(tie: Channel, generation: int) -> int:
        prepared.transport.close()
        ike_end.close()
        _be_silent()
        privileges.harden()
        privileges.drop(esp_user)
        child = prepared.config.child
        volume = Volume(child.lifetime.octets, child.lifetime.packets)
        watch = Watch(prepared.config.demo.port)
        ends = tun, line, esp_end, tie
        limits = child.max_packets, volume
        kept = child.tfc.dummies, child.copy_dscp
        EspProcess(*ends, generation, watch, *limits, os.urandom, *kept).run()
        return 0

    try:
        privileges.keep_to_fork(prepared.user or esp_user, net_admin=bool(prepared.config.child.virtual_ip))
    except OSError as error:
        raise StartError(f"esp.process: the supervisor cannot give up its privileges: {error}") from error
    users = {Process.IKE: prepared.user, Process.ESP: esp_user}
    return Supervisor(prepared.log, users, ike, data_path).run()


def _be_silent() -> None:
    """Read and write nothing but the standard error: the log is the IKE process'."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)
