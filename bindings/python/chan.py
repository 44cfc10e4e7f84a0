# SPDX-License-Identifier: Apache-2.0
"""chan - channels for Python, over libchan (include/chan.h) by ctypes

    import chan
    session = chan.dial("unix:/run/x.sock")
    tx = session.open()
    print(tx.call({"op": "echo", "data": b"hello"}))     # with a return channel under "ret"

    tx, rx = chan.pipe(4)
    tx.send({"n": 1, "file": chan.Descriptor(3)})
    for message in rx: ...
    which, value = chan.select([rx, other_rx], timeout=1)

Values are None, bool, int, float, str, bytes, list, dict, datetime (UTC), and attachments: Sender,
Receiver, Descriptor. What is sent is given away; what is received is yours. Failures raise
ChanError (an OSError: .errno); the end of a channel raises EndOfChannel. Timeouts are in seconds,
None waits for ever. The library is found as libchan.so.0, or where LIBCHAN points.
"""
import ctypes
import ctypes.util
import datetime
import errno
import os

_lib = ctypes.CDLL(os.environ.get("LIBCHAN") or "libchan.so.0")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_KINDS = ("none nil bool int uint double str bin array map time tx rx fd").split()
_NOW, _FOREVER = 0, 2**63 - 1
_RECV = 2


class _Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("kind", ctypes.c_int), ("message", ctypes.c_char * 512)]


class _Value(ctypes.Structure):
    _fields_ = [("msg", ctypes.c_void_p), ("at", ctypes.c_uint32)]


class _Case(ctypes.Structure):
    _fields_ = [("op", ctypes.c_int), ("tx", ctypes.c_void_p), ("rx", ctypes.c_void_p),
                ("session", ctypes.c_void_p), ("listener", ctypes.c_void_p),
                ("msg", ctypes.c_void_p), ("new_rx", ctypes.c_void_p),
                ("new_session", ctypes.c_void_p), ("result", ctypes.c_int)]


def _declare(result, names, *arguments):
    for name in names.split():
        function = getattr(_lib, "chan_" + name)
        function.restype, function.argtypes = result, arguments


_P, _I, _T, _E = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.POINTER(_Error)
_declare(_P, "msg_new")
_declare(None, "msg_free msg_clear tx_unref rx_unref session_unref listener_free close", _P)
_declare(None, "cancel abort", _P, _E)
_declare(_T, "after_ms", _T)
_declare(_I, "pipe", ctypes.c_uint, ctypes.POINTER(_P), ctypes.POINTER(_P))
_declare(_I, "send send_last recv", _P, _P, _T, _E)
_declare(_I, "put_map put_array", _P, ctypes.c_uint)
_declare(_I, "put_nil msg_error rx_pollfd session_pollfd", _P)
_declare(_I, "put_bool", _P, ctypes.c_bool)
_declare(_I, "put_int", _P, _T)
_declare(_I, "put_uint", _P, ctypes.c_uint64)
_declare(_I, "put_double", _P, ctypes.c_double)
_declare(_I, "put_strn put_bin", _P, ctypes.c_char_p, ctypes.c_size_t)
_declare(_I, "put_time", _P, _T, ctypes.c_uint32)
_declare(_I, "put_tx put_rx", _P, _P)
_declare(_I, "put_fd", _P, _I, ctypes.c_uint)
_declare(_Value, "root", _P)
_declare(_Value, "first next", _Value)
_declare(_I, "kind_of", _Value)
_declare(ctypes.c_size_t, "count", _Value)
_declare(_I, "get_bool", _Value, ctypes.POINTER(ctypes.c_bool))
_declare(_I, "get_int", _Value, ctypes.POINTER(_T))
_declare(_I, "get_uint", _Value, ctypes.POINTER(ctypes.c_uint64))
_declare(_I, "get_double", _Value, ctypes.POINTER(ctypes.c_double))
_declare(_I, "get_bin", _Value, ctypes.POINTER(_P), ctypes.POINTER(ctypes.c_size_t))
_declare(_I, "get_time", _Value, ctypes.POINTER(_T), ctypes.POINTER(ctypes.c_uint32))
_declare(_I, "take_tx take_rx", _Value, ctypes.POINTER(_P))
_declare(_I, "take_fd", _Value, ctypes.POINTER(_I))
_declare(_I, "select", ctypes.POINTER(_Case), ctypes.c_uint, _T, _E)
_declare(_I, "dial", ctypes.c_char_p, _P, _T, ctypes.POINTER(_P), _E)
_declare(_I, "listen", ctypes.c_char_p, _P, ctypes.POINTER(_P), _E)
_declare(_I, "listener_accept accept", _P, _T, ctypes.POINTER(_P), _E)
_declare(ctypes.c_char_p, "listener_address", _P)
_declare(_I, "open", _P, ctypes.POINTER(_P), _E)
_declare(_I, "session_shutdown", _P, _T, _E)


class ChanError(OSError):
    """A call failed: errno tells how for programs, strerror the reason for people."""


class EndOfChannel(ChanError):
    """The sender closed the channel, and everything in it was taken."""


def _check(result, error=None):
    if result >= 0:
        return result
    text = error.message.decode(errors="replace") if error and error.message else os.strerror(-result)
    raise (EndOfChannel if result == -errno.ENODATA else ChanError)(-result, text)


def _deadline(timeout):
    if timeout is None:
        return _FOREVER
    return _NOW if timeout <= 0 else _lib.chan_after_ms(max(1, round(timeout * 1000)))


class _Handle:
    """Owns one reference until it is sent away or dropped."""
    _drop = None

    def __init__(self, handle):
        self._handle = handle

    def _use(self):
        if not self._handle:
            raise ChanError(errno.EBADF, "it was given away or dropped")
        return self._handle

    def _given(self):
        self._handle = None

    def drop(self):
        handle, self._handle = self._handle, None
        if handle:
            getattr(_lib, self._drop)(handle)

    __del__ = drop

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()


class Descriptor:
    """A descriptor to send: a copy is passed, yours stays open."""

    def __init__(self, fd, read=True, write=True):
        self.fd, self.how = fd, (1 if read else 0) | (2 if write else 0)


class _Message:
    def __init__(self):
        self.handle = _lib.chan_msg_new()
        if not self.handle:
            raise MemoryError

    def __del__(self):
        _lib.chan_msg_free(self.handle)

    def put(self, value):
        m = self.handle
        if value is None:
            _check(_lib.chan_put_nil(m))
        elif isinstance(value, bool):
            _check(_lib.chan_put_bool(m, value))
        elif isinstance(value, int):
            if not -2**63 <= value < 2**64:
                raise ChanError(errno.ERANGE, "an integer beyond 64 bits")
            _check(_lib.chan_put_int(m, value) if value < 2**63 else _lib.chan_put_uint(m, value))
        elif isinstance(value, float):
            _check(_lib.chan_put_double(m, value))
        elif isinstance(value, str):
            data = value.encode()
            _check(_lib.chan_put_strn(m, data, len(data)))
        elif isinstance(value, (bytes, bytearray)):
            _check(_lib.chan_put_bin(m, bytes(value), len(value)))
        elif isinstance(value, (list, tuple)):
            _check(_lib.chan_put_array(m, len(value)))
            for item in value:
                self.put(item)
        elif isinstance(value, dict):
            _check(_lib.chan_put_map(m, len(value)))
            for key, item in value.items():
                self.put(key)
                self.put(item)
        else:
            self._put_special(value)

    def _put_special(self, value):
        m = self.handle
        if isinstance(value, datetime.datetime):
            since = value - _EPOCH
            _check(_lib.chan_put_time(m, since.days * 86400 + since.seconds,
                                      since.microseconds * 1000))
        elif isinstance(value, Sender):
            _check(_lib.chan_put_tx(m, value._use()))
            value._given()
        elif isinstance(value, Receiver):
            _check(_lib.chan_put_rx(m, value._use()))
            value._given()
        elif isinstance(value, Descriptor):
            fd = os.dup(value.fd)
            try:
                _check(_lib.chan_put_fd(m, fd, value.how))
            except ChanError:
                os.close(fd)
                raise
        else:
            raise TypeError(f"{type(value).__name__} cannot travel in a message")

    def get(self):
        return self._value(_lib.chan_root(self.handle))

    def _items(self, v, count):
        at = _lib.chan_first(v)
        for number in range(count):
            yield self._value(at)
            if number + 1 < count:
                at = _lib.chan_next(at)

    def _value(self, v):
        kind = _KINDS[_lib.chan_kind_of(v)]
        if kind == "map":
            flat = list(self._items(v, 2 * _lib.chan_count(v)))
            return dict(zip(flat[::2], flat[1::2]))
        if kind == "array":
            return list(self._items(v, _lib.chan_count(v)))
        if kind in ("str", "bin"):
            data, size = _P(), ctypes.c_size_t()
            _check(_lib.chan_get_bin(v, data, size))
            raw = ctypes.string_at(data, size.value) if size.value else b""
            return raw.decode() if kind == "str" else raw
        if kind == "time":
            sec, nsec = _T(), ctypes.c_uint32()
            _check(_lib.chan_get_time(v, sec, nsec))
            return _EPOCH + datetime.timedelta(seconds=sec.value, microseconds=nsec.value // 1000)
        if kind in ("tx", "rx"):
            handle = _P()
            _check(getattr(_lib, "chan_take_" + kind)(v, handle))
            return (Sender if kind == "tx" else Receiver)(handle.value)
        scalars = {"bool": ctypes.c_bool, "int": _T, "uint": ctypes.c_uint64,
                   "double": ctypes.c_double}
        if kind in scalars:
            place = scalars[kind]()
            _check(getattr(_lib, "chan_get_" + kind)(v, place))
            return place.value
        if kind == "fd":
            fd = _I()
            _check(_lib.chan_take_fd(v, fd))
            return fd.value
        return None


class Sender(_Handle):
    """The end of a channel to send to."""
    _drop = "chan_tx_unref"

    def send(self, value, timeout=None, last=False):
        m, e = _Message(), _Error()
        m.put(value)
        function = _lib.chan_send_last if last else _lib.chan_send
        _check(function(self._use(), m.handle, _deadline(timeout), e), e)

    def call(self, request, timeout=None, key="ret"):
        """Sends a dict with a return channel under `key`, and returns the answer."""
        tx, rx = pipe(1)
        self.send({**request, key: tx}, timeout)
        with rx:
            return rx.recv(timeout)

    def close(self):
        _lib.chan_close(self._use())

    def abort(self, number, text):
        _lib.chan_abort(self._use(), _Error(number, 0, text.encode()[:511]))


class Receiver(_Handle):
    """The end of a channel to receive from; iterating ends with the channel."""
    _drop = "chan_rx_unref"

    def recv(self, timeout=None):
        m, e = _Message(), _Error()
        _check(_lib.chan_recv(self._use(), m.handle, _deadline(timeout), e), e)
        return m.get()

    def cancel(self, number=errno.ECANCELED, text="cancelled"):
        _lib.chan_cancel(self._use(), _Error(number, 0, text.encode()[:511]))

    def fileno(self):
        return _check(_lib.chan_rx_pollfd(self._use()))

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.recv()
        except EndOfChannel:
            raise StopIteration from None


class Session(_Handle):
    """One connection."""
    _drop = "chan_session_unref"

    def open(self):
        tx, e = _P(), _Error()
        _check(_lib.chan_open(self._use(), tx, e), e)
        return Sender(tx.value)

    def accept(self, timeout=None):
        rx, e = _P(), _Error()
        _check(_lib.chan_accept(self._use(), _deadline(timeout), rx, e), e)
        return Receiver(rx.value)

    def shutdown(self, timeout=None):
        e = _Error()
        _check(_lib.chan_session_shutdown(self._use(), _deadline(timeout), e), e)


class Listener(_Handle):
    """An address where sessions arrive."""
    _drop = "chan_listener_free"

    def accept(self, timeout=None):
        session, e = _P(), _Error()
        _check(_lib.chan_listener_accept(self._use(), _deadline(timeout), session, e), e)
        return Session(session.value)

    @property
    def address(self):
        return _lib.chan_listener_address(self._use()).decode()


def pipe(capacity=0):
    tx, rx = _P(), _P()
    _check(_lib.chan_pipe(capacity, tx, rx))
    return Sender(tx.value), Receiver(rx.value)


def dial(address, timeout=None):
    session, e = _P(), _Error()
    _check(_lib.chan_dial(address.encode(), None, _deadline(timeout), session, e), e)
    return Session(session.value)


def listen(address):
    listener, e = _P(), _Error()
    _check(_lib.chan_listen(address.encode(), None, listener, e), e)
    return Listener(listener.value)


def select(receivers, timeout=None):
    """Waits for the first message of several receivers: (its receiver, the value)."""
    messages = [_Message() for _ in receivers]
    cases = (_Case * len(receivers))(*[
        _Case(op=_RECV, rx=r._use(), msg=m.handle) for r, m in zip(receivers, messages)])
    e = _Error()
    index = _check(_lib.chan_select(cases, len(receivers), _deadline(timeout), e), e)
    _check(cases[index].result, e)
    return receivers[index], messages[index].get()
