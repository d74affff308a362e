"""Tests of `rapidrtmp.rtmp.status`."""

from twisted.trial.unittest import SynchronousTestCase

from rapidrtmp.amf import amf0
from rapidrtmp.rtmp import status

CODES = {
    "CONNECT_SUCCESS": "NetConnection.Connect.Success",
    "CONNECT_CLOSED": "NetConnection.Connect.Closed",
    "CONNECT_RECONNECT_REQUEST": "NetConnection.Connect.ReconnectRequest",
    "CONNECT_REJECTED": "NetConnection.Connect.Rejected",
    "CONNECT_FAILED": "NetConnection.Connect.Failed",
    "CONNECT_INVALID_APP": "NetConnection.Connect.InvalidApp",
    "CONNECT_APP_SHUTDOWN": "NetConnection.Connect.AppShutdown",
    "CALL_FAILED": "NetConnection.Call.Failed",
    "PUBLISH_START": "NetStream.Publish.Start",
    "PUBLISH_BAD_NAME": "NetStream.Publish.BadName",
    "PUBLISH_DENIED": "NetStream.Publish.Denied",
    "PUBLISH_REJECTED": "NetStream.Publish.Rejected",
    "UNPUBLISH_SUCCESS": "NetStream.Unpublish.Success",
    "PLAY_RESET": "NetStream.Play.Reset",
    "PLAY_START": "NetStream.Play.Start",
    "PLAY_STOP": "NetStream.Play.Stop",
    "PLAY_COMPLETE": "NetStream.Play.Complete",
    "PLAY_PUBLISH_NOTIFY": "NetStream.Play.PublishNotify",
    "PLAY_UNPUBLISH_NOTIFY": "NetStream.Play.UnpublishNotify",
    "PLAY_STREAM_NOT_FOUND": "NetStream.Play.StreamNotFound",
    "PLAY_FAILED": "NetStream.Play.Failed",
    "PAUSE_NOTIFY": "NetStream.Pause.Notify",
    "UNPAUSE_NOTIFY": "NetStream.Unpause.Notify",
    "SEEK_NOTIFY": "NetStream.Seek.Notify",
    "SEEK_FAILED": "NetStream.Seek.Failed",
    "STREAM_FAILED": "NetStream.Failed",
    "RECORD_START": "NetStream.Record.Start",
    "RECORD_STOP": "NetStream.Record.Stop",
}


class StatusTests(SynchronousTestCase):
    def test_codes(self) -> None:
        """Every code is spelt as encoders and players compare it, and there are no others."""
        codes = {
            name: value
            for name, value in vars(status).items()
            if isinstance(value, str) and value.startswith("Net")
        }
        self.assertEqual(codes, CODES)

    def test_order(self) -> None:
        """Level comes before code before description, on the wire too (Wirecast)."""
        information = status.on_status(
            status.ERROR, status.PUBLISH_DENIED, "no token", objectEncoding=0.0
        )
        self.assertEqual(
            list(information.items()),
            [
                ("level", "error"),
                ("code", "NetStream.Publish.Denied"),
                ("description", "no token"),
                ("objectEncoding", 0.0),
            ],
        )
        wire = amf0.encode(information)
        places = [wire.index(name) for name in (b"level", b"code", b"description")]
        self.assertEqual(places, sorted(places))
