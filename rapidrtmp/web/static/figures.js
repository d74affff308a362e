/* What there is to measure of a playback. */

import { sum } from "./words.js";

const RATE_TIME = 10; // s over which the bitrate is averaged

/** How many bits a second the newest pieces have, by kind of track. */
export class Rates {
  #sizes = { main: [], audio: [] };

  /** Count a segment or part that was fetched: its bits, and the seconds that it plays. */
  add(kind, bits, seconds) {
    const sizes = this.#sizes[kind];
    if (!sizes) return;
    sizes.push([bits, seconds]);
    while (sizes.length > 5 && sum(sizes, 1) > RATE_TIME) sizes.shift();
  }

  /** Return bits per second; 0 while nothing is known. */
  get total() {
    return Object.values(this.#sizes)
      .filter((sizes) => sizes.length)
      .map((sizes) => sum(sizes, 0) / (sum(sizes, 1) || 1))
      .reduce((a, b) => a + b, 0);
  }
}

/** Tell whether hls.js plays part by part. */
export function isLowLatency(hls) {
  const details = hls && hls.latestLevelDetails;
  return Boolean(details) && details.canBlockReload && hls.lowLatencyMode;
}

/** Return how many seconds ago on the server's clock the picture came; null when it cannot be told. */
export function latency(video, hls, clock) {
  let date = null;
  if (hls) date = hls.playingDate;
  else if (video.getStartDate) date = new Date(video.getStartDate().getTime() + video.currentTime * 1000);
  if (date && !Number.isNaN(date.getTime())) {
    const seconds = clock.now() - date.getTime() / 1000;
    if (seconds > -2 && seconds < 600) return Math.max(0, seconds);
  }
  return hls ? hls.latency : null;
}

/** Return how many seconds there are to play without a hole. */
export function bufferAhead({ buffered, currentTime }) {
  let ahead = 0;
  for (let i = 0; i < buffered.length; i += 1) {
    const end = buffered.end(i);
    if (buffered.start(i) <= currentTime + 0.1 && end > currentTime) ahead = end - currentTime;
  }
  return ahead;
}

/** Return everything that is measured; null where it is not known. */
export function measure(video, hls, clock, rates) {
  const quality = video.getVideoPlaybackQuality ? video.getVideoPlaybackQuality() : null;
  const level = hls && hls.levels ? hls.levels[hls.currentLevel] : null;
  return {
    latency: latency(video, hls, clock), // s
    buffer: bufferAhead(video), // s
    bitrate: rates.total || null, // bit/s
    width: video.videoWidth,
    height: video.videoHeight,
    level: level ? hls.currentLevel + 1 : null, // the lowest bitrate is 1
    levels: level ? hls.levels.length : null,
    levelBitrate: level ? level.bitrate : null, // bit/s, as the playlist promises
    dropped: quality && quality.droppedVideoFrames,
    frames: quality && quality.totalVideoFrames,
    isLowLatency: isLowLatency(hls),
    engine: hls ? `hls.js ${window.Hls.version}` : "the browser",
  };
}
