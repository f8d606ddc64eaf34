"""Whether a silent peer is still there (RFC 7296 2.4).

     us                                       peer
    SK { }    after `interval` of silence  -->
                                           <--    SK { }

Rules:

1. Only what is authenticated and new is a sign of life: an IKE message that is no repetition, or an ESP
   packet. ICMP errors and unprotected messages say nothing, in either direction.
2. ESP packets are not told one by one: when the time is up, the highest sequence number of each Child SA is
   compared with that of the last look. So a peer that sends nothing but ESP is asked after one interval of
   silence, two at the latest.
3. Nothing is asked while a request of ours waits for its answer: that is the question already. Without an
   answer to the last repetition the IKE SA ends, and nobody is told.
4. So is a peer asked of whom we do not know whether it has the IKE SA at all: our answer to its IKE_AUTH may
   be lost (`Doubt` in `node.ike.children`).
"""

from node.ike.phases import Established
from node.ike.sa import IkeSa
from node.ike.tasks.informational import Liveness


def look(sa: IkeSa, now: float) -> None:
    """Ask the peer for life where it is time to."""
    if isinstance(sa.data, Established) and sa.look(now):
        sa.ask(Liveness(sa), now)
    deadline = sa.liveness_deadline()
    if deadline is None or now < deadline or not isinstance(sa.data, Established):
        return
    numbers = {spi: sa.context.newest(spi) for spi in sa.children}
    if sa.life.moved(numbers):
        sa.life.heard(now)
    else:
        sa.ask(Liveness(sa), now)
