# SPDX-License-Identifier: Apache-2.0
"""Tests of the Python module against the C library: LIBCHAN=build/libchan/libchan.so pytest bindings/python"""
import datetime
import errno
import os
import select as poll
import threading

import chan
import pytest

VALUES = [None, True, False, 0, -1, 200, 2**63 - 1, -2**63, 2**64 - 1, 1.5, "", "grüße", b"", b"\0\xff",
          [1, [2, []]], {"a": {"b": None}}, "x" * 70000,
          datetime.datetime(2014, 6, 5, 20, 26, 40, 123456, datetime.timezone.utc)]


def test_values():
    tx, rx = chan.pipe(1)
    for value in VALUES:
        tx.send(value)
        assert rx.recv() == value


def test_endings():
    tx, rx = chan.pipe(4)
    for number in range(3):
        tx.send(number)
    tx.close()
    assert list(rx) == [0, 1, 2]
    tx, rx = chan.pipe(1)
    tx.abort(errno.ENOSPC, "the disk is full")
    with pytest.raises(chan.ChanError, match="the disk is full") as caught:
        rx.recv()
    assert caught.value.errno == errno.ECONNABORTED
    tx, rx = chan.pipe(1)
    with pytest.raises(chan.ChanError) as caught:
        rx.recv(timeout=0.01)
    assert caught.value.errno == errno.ETIMEDOUT
    rx.drop()
    with pytest.raises(chan.ChanError) as caught:
        tx.send(1)
    assert caught.value.errno == errno.EPIPE


def test_attachments():
    tx, rx = chan.pipe(1)
    back, answers = chan.pipe(1)
    read_end, write_end = os.pipe()
    tx.send({"ret": back, "file": chan.Descriptor(read_end)})
    os.close(read_end)
    os.write(write_end, b"hello")
    os.close(write_end)
    message = rx.recv()
    with os.fdopen(message["file"], "rb") as received:
        message["ret"].send(received.read(), last=True)
    assert list(answers) == [b"hello"]
    with pytest.raises(chan.ChanError):
        back.send(1)  # given away


def test_select_and_fileno():
    pipes = [chan.pipe(1) for _ in range(3)]
    pipes[1][0].send("one")
    assert chan.select([rx for _, rx in pipes], timeout=1) == (pipes[1][1], "one")
    with pytest.raises(chan.ChanError):
        chan.select([rx for _, rx in pipes], timeout=0)
    rx = pipes[2][1]
    assert poll.select([rx], [], [], 0)[0] == []
    pipes[2][0].send(2)
    assert poll.select([rx], [], [], 1)[0] == [rx]


@pytest.mark.parametrize("address", ["unix:@wharf-python-test", "tcp:127.0.0.1:0"])
def test_session(address):
    listener = chan.listen(address)

    def serve():
        with listener.accept() as session:
            for message in session.accept():
                message["ret"].send(message["data"], last=True)
            session.shutdown(5)

    server = threading.Thread(target=serve)
    server.start()
    with chan.dial(listener.address, timeout=5) as session:
        tx = session.open()
        for value in VALUES:
            assert tx.call({"data": value}, timeout=5) == value
        tx.close()
        session.shutdown(5)
    server.join()


def test_no_such_address():
    with pytest.raises(chan.ChanError, match="no such address"):
        chan.dial("pigeon:x")
