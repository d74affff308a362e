"""What is done with few file descriptors; the limit is this process's own, put back after."""

import errno
import os
import resource
from pathlib import Path
from typing import Any, cast
from unittest import mock

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransportWithDisconnection
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rapidrtmp import descriptors
from rapidrtmp.descriptors import (
    QUIET,
    Descriptors,
    ThriftyFactory,
    WrappedFactory,
    raise_limit,
)
from rapidrtmp.listener import Listener
from tests.certificates import make_pair

ADDRESS = IPv4Address("TCP", "127.0.0.1", 5)


class ThriftyTests(SynchronousTestCase):
    def setUp(self) -> None:
        """A factory, and a limit that is set by the tests."""
        self.limit = 10_000
        self.clock = Clock()
        self.clock.advance(1e9)
        self.factory = Factory.forProtocol(Protocol)
        self.thrifty = ThriftyFactory(self.factory, Descriptors(cast(Any, self.clock)))
        limits = mock.patch.object(resource, "getrlimit", lambda _: (self.limit, self.limit))
        self.enterContext(limits)

    def open(self, number: int) -> None:
        """Let so many files be open."""
        self.enterContext(mock.patch.object(os, "dup", lambda _: number))
        self.enterContext(mock.patch.object(os, "close", lambda _: None))

    def test_enough(self) -> None:
        """Connections are made, and nothing stays open."""
        verifyObject(IProtocolFactory, self.thrifty)
        before = os.dup(0)
        os.close(before)
        self.assertIsInstance(self.thrifty.buildProtocol(ADDRESS), Protocol)
        after = os.dup(0)
        os.close(after)
        self.assertEqual(after, before)

    def test_scarce(self) -> None:
        """None is made out of the reserve, which the log says now and then."""
        with capturedLogs() as events:
            self.open(self.limit - descriptors.RESERVE - 1)
            self.assertIsNotNone(self.thrifty.buildProtocol(ADDRESS))
            self.open(self.limit - descriptors.RESERVE)
            for _ in range(3):
                self.assertIsNone(self.thrifty.buildProtocol(ADDRESS))
            self.clock.advance(QUIET)
            self.assertIsNone(self.thrifty.buildProtocol(ADDRESS))
        words = [formatEvent(event) for event in events]
        self.assertEqual(len(words), 2, words)
        self.assertIn("9936 of 10000 files are open", words[0])

    def test_few(self) -> None:
        """Where few are allowed, three quarters of them are for connections."""
        self.limit = 100
        self.open(74)
        self.assertIsNotNone(self.thrifty.buildProtocol(ADDRESS))
        self.open(75)
        self.assertIsNone(self.thrifty.buildProtocol(ADDRESS))

    def test_no_limit(self) -> None:
        """Where there is no limit, there is always one more."""
        self.limit = resource.RLIM_INFINITY
        self.assertIsNotNone(self.thrifty.buildProtocol(ADDRESS))

    def test_none(self) -> None:
        """The last one is gone. That standard input was closed is something else."""
        for number, is_refused in ((errno.EMFILE, True), (errno.EBADF, False)):
            with mock.patch.object(os, "dup", side_effect=OSError(number, "")):
                self.assertEqual(self.thrifty.buildProtocol(ADDRESS) is None, is_refused)

    def test_starts(self) -> None:
        """It starts and stops the factory."""
        self.thrifty.doStart()
        self.assertEqual(self.factory.numPorts, 1)
        self.thrifty.doStop()
        self.assertEqual(self.factory.numPorts, 0)


class WrappedTests(SynchronousTestCase):
    """Endpoints that wrap each protocol, as ``ssl:`` does."""

    def connect(self, endpoint: str, *, refuses: bool) -> StringTransportWithDisconnection:
        """Connect to what listens there, of a factory that refuses or does not."""
        reactor = MemoryReactorClock()
        factory = Factory.forProtocol(Protocol)
        if refuses:
            self.patch(factory, "buildProtocol", lambda _: None)
        if endpoint.startswith("ssl:"):
            certificate, key = make_pair(Path(self.mktemp()))
            endpoint += f":privateKey={key}:certKey={certificate}"
        listener = Listener(reactor, "RTMP_ADDR", endpoint, factory)
        listener.startService()
        if reactor.sslServers:
            # what the real reactor does
            [(_, inner, context, *_rest)] = reactor.sslServers
            outer: Any = TLSMemoryBIOFactory(context, False, inner, reactor)
        else:
            [(_, outer, *_rest)] = reactor.tcpServers
        protocol = outer.buildProtocol(ADDRESS)
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if endpoint.startswith("haproxy:"):
            protocol.dataReceived(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n")
        return transport

    def test_refused(self) -> None:
        """A connection that no protocol is made for is closed; others go on."""
        for endpoint in ("ssl:1936", "haproxy:tcp:1935"):
            for refuses in (True, False):
                with self.subTest(endpoint=endpoint, refuses=refuses):
                    transport = self.connect(endpoint, refuses=refuses)
                    self.assertEqual(transport.connected, not refuses)

    def test_starts(self) -> None:
        """It starts and stops the factory."""
        factory = Factory.forProtocol(Protocol)
        wrapped = WrappedFactory(factory)
        verifyObject(IProtocolFactory, wrapped)
        wrapped.doStart()
        self.assertEqual(factory.numPorts, 1)
        wrapped.doStop()
        self.assertEqual(factory.numPorts, 0)


class LimitTests(SynchronousTestCase):
    def test_raised(self) -> None:
        """The soft limit is raised to what is wanted and allowed; too little is told."""
        table = (
            ((1024, 4096), 2000, (2000, 4096), False),
            ((1024, 4096), 9000, (4096, 4096), True),
            ((5000, 5000), 2000, None, False),
            ((1024, resource.RLIM_INFINITY), 2000, (2000, resource.RLIM_INFINITY), False),
            ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 2000, None, False),
        )
        for limits, wanted, raised, is_told in table:
            with (
                self.subTest(limits=limits, wanted=wanted),
                mock.patch.object(resource, "getrlimit", return_value=limits),
                mock.patch.object(resource, "setrlimit") as setter,
                capturedLogs() as events,
            ):
                raise_limit(wanted)
                expected = [] if raised is None else [mock.call(resource.RLIMIT_NOFILE, raised)]
                self.assertEqual(setter.mock_calls, expected)
                self.assertEqual(len(events), is_told)
