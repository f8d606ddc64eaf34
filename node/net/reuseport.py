"""One UDP port for two processes: two sockets in a SO_REUSEPORT group, and the kernel's choice between them.

    index   socket                     gets
    0       that of the IKE process    IKE datagrams, and what is shorter than four octets (keepalives)
    1       that of the ESP process    everything else

Rules:

1. The program decides as `node.net.steer.Port` does, and sees what that sees: the payload and its length.
2. The first socket is bound alone, so that a port which somebody has is an error. Only then it lets a second
   one in; later nodes begin in the same way, and are refused.
3. The index is a place in the group, and the group changes its order when a member is closed: whoever opened
   the sockets keeps both, and hands them down.

A classic BPF program (linux/filter.h) is a list of instructions of 8 octets: code, two jump distances,
operand. It needs no privilege. A load behind the end of a datagram ends it with 0.
"""

import socket
import struct
from array import array
from typing import Final, NamedTuple

from node.net.steer import LEAST_OCTETS, Port

#: asm-generic/socket.h; the socket module does not have it.
SO_ATTACH_REUSEPORT_CBPF: Final = 51
#: Places in the group.
IKE, ESP = 0, 1

# linux/bpf_common.h: BPF_LD | BPF_W | BPF_LEN, BPF_LD | BPF_W | BPF_ABS, BPF_ALU | BPF_RSH | BPF_K,
# BPF_JMP | BPF_JGE | BPF_K, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K
LOAD_LENGTH, LOAD_WORD, SHIFT_RIGHT, JUMP_GE, JUMP_EQ, RETURN = 0x80, 0x20, 0x74, 0x35, 0x15, 0x06
_INSTRUCTION = struct.Struct("=HBBI")


class Instruction(NamedTuple):
    """One instruction; `true` and `false` are how many to skip where a jump's condition is so."""

    code: int
    true: int
    false: int
    operand: int


def program(port: Port) -> tuple[Instruction, ...]:
    """The choice for a port that IKE and ESP share."""
    unseen = 8 * (LEAST_OCTETS - len(port.first))
    return (
        Instruction(LOAD_LENGTH, 0, 0, 0),
        Instruction(JUMP_GE, 0, 3, LEAST_OCTETS),
        Instruction(LOAD_WORD, 0, 0, 0),
        Instruction(SHIFT_RIGHT, 0, 0, unseen),
        Instruction(JUMP_EQ, 0, 1, int.from_bytes(port.first)),
        Instruction(RETURN, 0, 0, IKE),
        Instruction(RETURN, 0, 0, ESP),
    )


def attach(member: socket.socket, instructions: tuple[Instruction, ...]) -> None:
    """Have the group of `member` choose by a program. Raises OSError where the kernel does not."""
    code = array("B", b"".join(_INSTRUCTION.pack(*one) for one in instructions))
    # struct sock_fprog: how many instructions, and where they are.
    pointer = struct.pack("@HP", len(instructions), code.buffer_info()[0])
    member.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, pointer)
