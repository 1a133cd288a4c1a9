"""A line between two networks: packets that go in at one end come out at the other, late, and some never.

Called with the names of two tun devices, which it makes, how late in milliseconds, and how many of a hundred
packets are lost. Which ones is always the same. For each line that it reads, the connection that has carried the
most until then carries nothing any more, and it says so.
"""

import collections
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import sys
import time

TUNSETIFF = 0x400454CA
TUN_WITHOUT_HEADER = 0x1001


def device(name):
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", name.encode(), TUN_WITHOUT_HEADER))
    return end


def packets(end):
    while True:
        try:
            yield os.read(end, 65536)
        except OSError:
            return


def connection(packet):
    """The ports of a packet of TCP over IPv4, from either end, or None."""
    if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        return None
    begin = (packet[0] & 15) * 4
    return frozenset(struct.unpack("!HH", packet[begin : begin + 4]))


def carry(ends, late, lost):
    dice, order, on_the_way = random.Random(7), 0, []
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    carried, dead = collections.Counter(), set()
    while True:
        wait = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        for end in select.select([*ends, *commands], [], [], wait)[0]:
            if end in commands:
                commands[:] = [end] if sys.stdin.readline() else []
                busiest = [which for which, _ in carried.most_common(1)] if commands else []
                dead.update(busiest)
                print("dead", *busiest, flush=True)
                continue
            for packet in packets(end):
                which = connection(packet)
                carried[which] += len(packet)
                if which not in dead and dice.random() >= lost:
                    order += 1
                    heapq.heappush(on_the_way, (time.monotonic() + late, order, other[end], packet))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(on_the_way)
            try:
                os.write(end, packet)
            except OSError:
                pass  # Nobody is there: it is lost, as on any line.


commands = [sys.stdin]
ends = [device(name) for name in sys.argv[1:3]]
print("ready", flush=True)
carry(ends, float(sys.argv[3]) / 1000, float(sys.argv[4]) / 100)
