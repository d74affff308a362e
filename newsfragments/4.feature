Low-Latency HLS on by default: parts of 200 ms, answered within 2 ms of the frame that ends them, and about 1.3 s from glass to glass in hls.js; the player's page says so and plays on through outages.
MPEG-TS HLS for old players at `/live/<key>/ts/index.m3u8`, made on demand of the same segments.
The standards judge: `rapidrtmp check URL` follows a stream as a player does and reports every breach of RFC 8216bis, low-latency HLS, Apple's authoring rules, CMAF and ISO BMFF, with timing, as text or JSON.
A DVR window (`DVR_WINDOW`): hours of the past can be watched out of storage, by `index.m3u8?dvr=1` and the player's page, over reconnects and restarts of the server.
DASH from the same segments as HLS: a dynamic manifest at `/live/<key>/manifest.mpd` with a Period for each discontinuity, low latency by chunked transfer of the segment under way, and the time of day at `/live/time`.
Thumbnails: the latest picture of each stream (`/live/<key>/thumb.jpg`), an image rendition for seek bars, and pictures in the player's list; made on demand in a process of their own, with PyAV (the extra `media`).
Timed metadata and accessibility: CEA-608 and CEA-708 captions are declared; data messages of the publisher reach RTMP, FLV and HLS players (ID3, date ranges); date ranges, SCTE 35 and ID3 can be put in by the API; I-frame playlists.
