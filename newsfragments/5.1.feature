RTMP and FLV players cost less: what comes within `PLAY_LATENCY` (6 ms) goes to all of them with one write each, straight into the sockets of RTMP; 70 ms halve the cost again.
