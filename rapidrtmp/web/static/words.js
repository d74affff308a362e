/* The words of the player. */

export const STATES = {
  idle: "No stream chosen",
  loading: "Connecting…",
  waiting: "Waiting for the stream…",
  starting: "Starting…",
  playing: "Playing",
  paused: "Paused",
  stalled: "Waiting for more…",
  ended: "Ended",
  error: "Cannot play",
};

export const WORDS = {
  manifestLoadError: "The playlist could not be fetched",
  manifestLoadTimeOut: "The server did not answer in time",
  manifestParsingError: "The playlist cannot be understood",
  manifestIncompatibleCodecsError: "This browser cannot decode the stream's codecs",
  levelLoadError: "A playlist could not be fetched",
  levelLoadTimeOut: "A playlist did not come in time",
  levelParsingError: "A playlist cannot be understood",
  levelEmptyError: "A playlist is empty",
  audioTrackLoadError: "The sound's playlist could not be fetched",
  audioTrackLoadTimeOut: "The sound's playlist did not come in time",
  fragLoadError: "A piece of the stream could not be fetched",
  fragLoadTimeOut: "A piece of the stream did not come in time",
  fragParsingError: "A piece of the stream cannot be understood",
  fragGap: "The stream has a gap",
  bufferAddCodecError: "This browser cannot decode the stream's codecs",
  bufferIncompatibleCodecsError: "This browser cannot decode the stream's codecs",
  bufferAppendError: "The browser did not take a piece of the stream",
  bufferAppendingError: "The browser did not take a piece of the stream",
  bufferAppendNoProgress: "A piece of the stream added nothing to the buffer",
  bufferFullError: "The browser's memory for video is full",
  bufferStalledError: "The picture stopped: nothing more is buffered",
  bufferNudgeOnStall: "Stepped over a small gap",
  bufferSeekOverHole: "Jumped over a gap",
  aborted: "Fetching was broken off",
  internalException: "The player itself failed",
};

export const MEDIA_ERRORS = { 1: "Playing was stopped", 2: "The network failed", 3: "Decoding failed",
  4: "This browser cannot play the stream" };

/** Return what a JSON error answer says. */
export function reason(text) {
  try {
    return String(JSON.parse(text).error || "");
  } catch {
    return "";
  }
}

/** Make a sentence of an error's words. */
export function sentence(words) {
  return `${capital(words)}${!words || /[.!?]$/.test(words) ? "" : "."}`;
}

export function capital(words) {
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

export function sum(rows, column) {
  return rows.reduce((total, row) => total + row[column], 0);
}

export function formatRate(bits) {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
}

export function formatSeconds(seconds) {
  return `${seconds.toFixed(1)} s`;
}

/** Say for how long something has gone on, in whole minutes. */
export function formatUptime(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return "just started";
  if (minutes < 60) return `live for ${minutes} min`;
  return `live for ${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
