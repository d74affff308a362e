"""What a client plays, and what it may do meanwhile: NetStream.play and its like (7.2.2)."""

from rapidrtmp.rtmp import status
from rapidrtmp.rtmp.answers import Answers
from rapidrtmp.rtmp.command import Command
from rapidrtmp.rtmp.events import PlayPaused, PlayRequested, ReceiveChanged

COMMANDS = frozenset(("pause", "pauseRaw", "seek", "receiveAudio", "receiveVideo"))
"""Calls of somebody who plays."""


class Playing:
    """The stream that one connection plays, if it plays one."""

    def __init__(self, answers: Answers) -> None:
        self.message_stream_id = 0
        """Where it plays; 0 while it does not."""
        self.key = ""
        self.paused = False
        self.audio = True
        self.video = True
        self._answers = answers

    def start(self, request: PlayRequested) -> None:
        """Begin: the client is told all that has to come before media."""
        self.message_stream_id = stream = request.message_stream_id
        self.key = request.key
        self.paused = False
        self.audio = self.video = True
        answers = self._answers
        answers.stream_begin(stream)
        if request.is_reset:
            answers.status(stream, status.PLAY_RESET, f"Playing and resetting {self.key}.")
        answers.status(stream, status.PLAY_START, f"Started playing {self.key}.")
        # Flash may look at pictures and sound. No NetStream.Data.Start: FFmpeg would take it
        # for a track
        answers.data(stream, "|RtmpSampleAccess", True, True)

    def end(self, code: str, description: str) -> None:
        """Tell the client that nothing more comes."""
        stream = self.message_stream_id
        self._answers.status(stream, code, description)
        if code != status.PLAY_STOP:
            self._answers.status(stream, status.PLAY_STOP, f"Stopped playing {self.key}.")
        self._answers.stream_eof(stream)
        self.message_stream_id = 0

    def receive(self, call: Command) -> PlayPaused | ReceiveChanged | None:
        """Do what one of `COMMANDS` asks for.

        Returns:
            What has changed by it, if anything.
        """
        if call.name == "seek":
            # a live stream has one position: it goes on from there
            self._answers.status(self.message_stream_id, status.SEEK_NOTIFY, "This is live.")
            return None
        flag = call.argument(1)
        wanted = flag is None or bool(flag)
        if call.name in ("pause", "pauseRaw"):
            return self._pause(wanted)
        if call.name == "receiveAudio":
            changed, self.audio = self.audio is not wanted, wanted
        else:
            changed, self.video = self.video is not wanted, wanted
        return ReceiveChanged(self.audio, self.video) if changed else None

    def _pause(self, paused: bool) -> PlayPaused | None:
        stream = self.message_stream_id
        if paused:
            self._answers.status(stream, status.PAUSE_NOTIFY, f"Paused {self.key}.")
            self._answers.stream_eof(stream)
        else:
            self._answers.status(stream, status.UNPAUSE_NOTIFY, f"Playing {self.key} again.")
            self._answers.stream_begin(stream)
        changed, self.paused = self.paused is not paused, paused
        return PlayPaused(paused) if changed else None
