#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Presses a port that speaks HTTP until it is terminated: so many slow clients that are there all the
time, and each second a body of 1 GiB, as far as it is taken. Says "pressing" once all are connected."""

import argparse
import asyncio
import contextlib

BODY_BYTES = 1 << 30
CHUNK = b"%x\r\n" % (1 << 20) + bytes(1 << 20) + b"\r\n"
SAID = (b"", b"GET /stats HT", b"GET /metrics HTTP/1.0\r\n\r\n")  # then nothing, and nothing is read
PAUSE_SECONDS = 1.0


async def stay(port, number, connected):
    """A slow client: whoever is sent away comes again."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            connected.release()
            writer.write(SAID[number % len(SAID)])
            if number % len(SAID) == 2:
                await asyncio.sleep(3600)
            await reader.read()
            writer.close()
        await asyncio.sleep(PAUSE_SECONDS)


async def pour(port):
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(BODY_BYTES // (1 << 20)):
                writer.write(CHUNK)
                await writer.drain()
            writer.close()
        await asyncio.sleep(PAUSE_SECONDS)


async def press(options):
    connected = asyncio.Semaphore(0)
    slow = [asyncio.create_task(stay(options.port, n, connected)) for n in range(options.clients)]
    for _ in slow:
        await connected.acquire()
    print("pressing", flush=True)
    await asyncio.gather(pour(options.port), *slow)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--clients", type=int, default=500)
    asyncio.run(press(parser.parse_args()))


if __name__ == "__main__":
    main()
