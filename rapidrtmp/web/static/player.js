/* The player: plays a stream by HLS, says in plain words what is going on, and comes back by
   itself when the stream does. Needs hls.js (vendor/hls.min.js) except where the browser has no
   Media Source Extensions but plays HLS itself (iOS). */

import {
  BASE, KEY, TIMEOUT, clockOffset, noteServerTime, setCurrent, showStreams,
} from "./streams.js";
import { keyFromAddress, playlistLoader, playlistURL, sources } from "./playlist.js";
import { MEDIA_ERRORS, STATES, WORDS, formatRate, reason, sentence, sum } from "./words.js";

const WAIT_INTERVAL = 2000; // ms between two looks for a stream that is not live yet
const ENDED_INTERVAL = 3000; // ms between two looks for one that has ended
const MAX_BACKOFF = 10000; // ms between attempts while the server cannot be reached
const STALL = 3; // s without progress after which the page says so
const STALL_CHECK = 10; // s of a stall after which the reason is looked for, again and again
const CALM = 15; // s of playing after which former trouble is forgotten
const NATIVE_DISTANCE = 6; // s behind the newest moment, where the browser plays HLS itself
const RATE_TIME = 10; // s over which the bitrate is averaged
const MAX_MESSAGES = 200;
const FULL = "viewer limit reached"; // as the server says it
const ABSENT = ["stream not found or not live", "playlist not available"]; // likewise

const $ = (id) => document.getElementById(id);
const video = $("video");

// For tests in a real browser and for support: what plays, and what went wrong.
const page = { video, hls: null, engine: null, state: "idle", key: null, errors: [], fatals: 0 };
window.rapidrtmp = page;

// ---------------------------------------------------------------- messages

let lastMessage = null;

function message(text, level = "") {
  if (lastMessage && lastMessage.text === text) {
    lastMessage.count += 1;
    lastMessage.words.textContent = `${text} (×${lastMessage.count})`;
    lastMessage.time.textContent = clockTime();
    return;
  }
  const item = document.createElement("li");
  const time = document.createElement("time");
  const words = document.createElement("span");
  time.textContent = clockTime();
  words.textContent = text;
  words.className = level;
  item.append(time, words);
  $("log").prepend(item);
  while ($("log").children.length > MAX_MESSAGES) $("log").lastChild.remove();
  $("log-count").textContent = $("log").children.length;
  lastMessage = { text, count: 1, words, time };
}

function clockTime() {
  return new Date().toLocaleTimeString([], { hour12: false });
}

function show(state, headline = "", detail = "") {
  const changed = page.state !== state;
  page.state = state;
  $("status").dataset.state = state;
  if (changed || !$("status-text").textContent) $("status-text").textContent = STATES[state];
  const veil = $("veil");
  veil.hidden = state === "playing" || state === "paused";
  veil.classList.toggle("thin", state === "stalled" || state === "ended");
  $("pulse").classList.toggle("busy", ["loading", "waiting", "starting", "stalled"].includes(state));
  $("pulse").hidden = !["loading", "waiting", "starting", "stalled"].includes(state);
  $("headline").textContent = headline || STATES[state];
  $("detail").textContent = detail;
  $("badge").hidden = state !== "playing";
  showUnmute();
  const isOn = page.engine !== null;
  $("play").disabled = $("mute").disabled = !isOn;
  $("golive").disabled = !isOn || state === "ended";
}

function showUnmute() {
  $("unmute").hidden = !(video.muted && (page.state === "playing" || page.state === "stalled"));
  $("mute").textContent = video.muted ? "Sound on" : "Mute";
  $("play").textContent = video.paused ? "Play" : "Pause";
}

// ---------------------------------------------------------------- choosing a stream

let watch = null; // the stream that is wanted; replaced as a whole, so old timers find out

function choose(key, push) {
  stop();
  page.key = key;
  $("key").value = key || "";
  $("title").textContent = key || "No stream chosen";
  document.title = key ? `${key} – RapidRTMP` : "RapidRTMP player";
  if (push && key !== keyFromAddress()) { // else a signed address would lose its signature
    history.pushState(null, "", new URL(key ? `player/${encodeURIComponent(key)}` : "", BASE));
  }
  $("url").value = key ? playlistURL(key).href : "";
  setCurrent(key);
  if (!key) {
    show("idle", "Choose a stream", "Pick a live stream or type a stream key.");
  } else if (!KEY.test(key)) {
    show("error", "Not a stream key",
      "A stream key has 1 to 128 letters, digits, hyphens and underscores.");
  } else {
    watch = { key, url: playlistURL(key), backoff: 1000, trouble: 0, sources: "", ended: null };
    message(`Opening ${key}`);
    show("loading", "Connecting…");
    probe(watch);
  }
}

/** Look whether the stream is there; start it, or look again later. */
async function probe(wanted) {
  clearTimeout(wanted.timer);
  let response;
  try {
    response = await fetch(wanted.url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    noteServerTime(response);
    wanted.answer = await response.text();
  } catch {
    if (wanted !== watch) return;
    message("The server cannot be reached", "bad");
    show("waiting", "The server cannot be reached", "Trying again by itself.");
    wanted.backoff = Math.min(wanted.backoff * 2, MAX_BACKOFF);
    again(wanted, wanted.backoff);
    return;
  }
  if (wanted !== watch) return;
  if (response.ok && sources(wanted.answer) === wanted.ended) {
    again(wanted, ENDED_INTERVAL);
  } else if (response.ok) {
    wanted.backoff = 1000;
    wanted.ended = null;
    wanted.sources = sources(wanted.answer);
    start(wanted);
  } else if (response.status === 404 && wanted.ended !== null) {
    wanted.ended = ""; // what comes now is new; "ended" stays on the screen until then
    again(wanted, WAIT_INTERVAL);
  } else if (response.status === 404) {
    const words = reason(wanted.answer);
    if (ABSENT.includes(words)) {
      show("waiting", "Waiting for the stream…",
        `Nobody is publishing “${wanted.key}” now. It starts here by itself.`);
    } else {
      show("waiting", "The stream is on, but not for this page", sentence(words));
    }
    again(wanted, WAIT_INTERVAL);
  } else if (response.status === 403) {
    // Asking again by itself would not help: a link does not get better by waiting.
    const words = reason(wanted.answer) || "The server refused it.";
    message(`You may not watch this stream: ${words}`, "bad");
    show("error", "You may not watch this stream", sentence(words));
  } else if (response.status === 503) {
    const words = reason(wanted.answer);
    if (words === FULL) {
      show("waiting", "The stream is full",
        "It has as many viewers as it may have. It starts here when there is room.");
    } else {
      show("starting", "The stream is starting…", sentence(words));
    }
    again(wanted, Math.max(1, Number(response.headers.get("Retry-After")) || 1) * 1000);
  } else {
    message(`The server answered ${response.status}: ${reason(wanted.answer)}`, "bad");
    show("waiting", "The server has a problem", `It answered ${response.status}. Trying again.`);
    wanted.backoff = Math.min(wanted.backoff * 2, MAX_BACKOFF);
    again(wanted, wanted.backoff);
  }
}

function again(wanted, delay) {
  clearTimeout(wanted.timer);
  wanted.timer = setTimeout(() => wanted === watch && probe(wanted), delay);
}

// ---------------------------------------------------------------- playing

let stalledFor = 0; // s
let calmFor = 0; // s
let edgeAtStall = 0; // s, where the playlist ended when it began
let steadyFor = 0; // s since hls.js last met a stall
let hasStalled = false;
let patience = CALM; // s
let lastTime = -1;
let bufferedInStall = 0; // s
let rates = { main: [], audio: [] };
let userPaused = false;

function stop() {
  if (watch) clearTimeout(watch.timer);
  watch = null;
  userPaused = false;
  teardown();
}

function teardown() {
  if (page.hls) page.hls.destroy();
  page.hls = null;
  if (page.engine) {
    page.engine = null;
    video.removeAttribute("src");
    video.load();
  }
  stalledFor = calmFor = 0;
  hasStalled = false;
  patience = CALM;
  lastTime = -1;
  rates = { main: [], audio: [] };
  for (const id of ["latency", "picture", "bitrate", "buffer", "dropped", "engine"]) {
    $(id).textContent = "–";
  }
}

function start(wanted) {
  teardown();
  show("loading", "Loading…");
  video.muted = !soundWanted();
  // Chromium answers "maybe" to native HLS, so hls.js is asked first.
  if (window.Hls && window.Hls.isSupported()) {
    startHls(wanted);
  } else if (video.canPlayType("application/vnd.apple.mpegurl")) {
    page.engine = "native";
    video.src = wanted.url;
    play();
  } else if (!window.Hls) {
    show("error", "The player library is missing",
      "static/vendor/hls.min.js is not installed on the server. Open the playlist in VLC or Safari.");
    message("hls.js is missing on the server and this browser has no HLS of its own", "bad");
  } else {
    show("error", "This browser cannot play live video",
      "It has no Media Source Extensions. Open the playlist in VLC.");
  }
}

function startHls(wanted) {
  const Hls = window.Hls;
  const hls = new Hls({
    pLoader: playlistLoader(wanted),
    backBufferLength: 30, // s kept for a step back; more only costs memory
    maxLiveSyncPlaybackRate: 1.1, // catches up unnoticed
  });
  // not above: there it must come with a distance to the live edge, which playlists tell themselves
  // Whoever looks at the past (?dvr=1) is not pulled out of it.
  hls.config.liveMaxLatencyDurationCount = wanted.url.searchParams.has("dvr") ? Infinity : 8;
  page.hls = hls;
  page.engine = "hls.js";
  hls.on(Hls.Events.ERROR, (_, error) => hls === page.hls && failed(wanted, error));
  hls.on(Hls.Events.MANIFEST_PARSED, () => userPaused || play());
  hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag, part, stats }) => {
    const { duration } = part || frag;
    if (stalledFor > 0 && frag.sn !== "initSegment") bufferedInStall += duration;
    const sizes = rates[frag.type];
    if (!sizes || frag.sn === "initSegment") return;
    sizes.push([stats.total * 8, duration]);
    while (sizes.length > 5 && sum(sizes, 1) > RATE_TIME) sizes.shift();
  });
  hls.loadSource(wanted.url.href);
  hls.attachMedia(video);
}

async function play() {
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError") return; // a newer load took over
    if (!video.muted) {
      video.muted = true;
      play();
      return;
    }
    userPaused = true;
    show("paused");
    message("The browser wants you to press play", "warn");
  }
}

function failed(wanted, error) {
  const { Hls } = window;
  const status = error.response && error.response.code ? ` (${error.response.code})` : "";
  const words = `${WORDS[error.details] || "Something went wrong"}${status}`;
  page.errors.push({ details: error.details, fatal: error.fatal, at: Date.now() });
  if (page.errors.length > MAX_MESSAGES) page.errors.shift();
  message(`${words} [${error.details}]`, error.fatal ? "bad" : "warn");
  if (error.details === "bufferStalledError") {
    hasStalled = true;
    steadyFor = 0;
  }
  if (!error.fatal) return;
  page.fatals += 1;
  calmFor = 0;
  wanted.trouble += 1;
  if (error.type === Hls.ErrorTypes.MEDIA_ERROR && wanted.trouble === 1) {
    show("loading", "Loading…"); // so that the pause it causes is not taken for the viewer's
    page.hls.recoverMediaError();
    play();
  } else if (error.type === Hls.ErrorTypes.NETWORK_ERROR && wanted.trouble === 1 && !status) {
    page.hls.startLoad();
  } else if (/IncompatibleCodecs|AddCodec/.test(error.details)) {
    teardown();
    show("error", "This browser cannot decode the stream", "Try another browser, or VLC.");
  } else {
    restart(wanted);
  }
}

/** Begin anew; ever more slowly while it does not help. */
function restart(wanted) {
  teardown();
  show("loading", "Connecting again…");
  again(wanted, Math.min(500 * 2 ** Math.min(wanted.trouble, 5), MAX_BACKOFF));
}

function ended() {
  if (!watch || !page.engine) return;
  message("The stream has ended");
  watch.ended = watch.sources;
  show("ended", "The stream has ended", "If it comes back it starts here by itself.");
  again(watch, ENDED_INTERVAL);
}

video.addEventListener("ended", ended);
video.addEventListener("playing", () => {
  if (!page.engine) return;
  if (page.state !== "playing") message("Playing");
  userPaused = false;
  stalledFor = 0;
  show("playing");
});
video.addEventListener("pause", () => {
  showUnmute();
  if (page.state !== "playing" || video.ended || video.seeking) return;
  userPaused = true;
  show("paused");
});
video.addEventListener("play", () => {
  userPaused = false;
  showUnmute();
});
video.addEventListener("volumechange", showUnmute);
video.addEventListener("error", () => {
  if (page.engine !== "native" || !watch) return;
  const code = video.error ? video.error.code : 0;
  message(MEDIA_ERRORS[code] || "Playing failed", "bad");
  page.errors.push({ details: `mediaError${code}`, fatal: true, at: Date.now() });
  page.fatals += 1;
  watch.trouble += 1;
  restart(watch);
});

// ---------------------------------------------------------------- once a second

function tick() {
  if (!page.engine || !watch) return;
  const moves = video.currentTime !== lastTime;
  lastTime = video.currentTime;
  showFigures();
  if (video.paused || video.ended || page.state === "ended") return;
  if (moves && video.readyState >= 2) {
    stalledFor = 0;
    calmFor += 1;
    if (calmFor === CALM) watch.trouble = 0;
    steadyFor += 1;
    if (hasStalled && steadyFor >= patience) returnToEdge();
    if (page.state === "stalled") show("playing");
    return;
  }
  if (stalledFor === 0) {
    bufferedInStall = 0;
    edgeAtStall = liveEdge();
  }
  stalledFor += 1;
  if (stalledFor === STALL && isOver()) {
    ended();
    video.pause();
    return;
  }
  if (stalledFor === STALL && page.state === "playing") {
    show("stalled", "Waiting for more…", "The publisher paused, or the network is slow.");
  }
  if (stalledFor % STALL_CHECK === 0) checkStall(watch);
}

/** Go back to where low latency is once all is calm; where that leads to another stall, only after
    twice as long. With every stall hls.js keeps a second more from the live edge, for ever, and more
    than a target duration behind that it does not catch up. */
function returnToEdge() {
  if (!isLowLatency()) return;
  const { partHoldBack, targetduration } = page.hls.latestLevelDetails;
  page.hls.targetLatency = partHoldBack;
  if (page.hls.latency > partHoldBack + targetduration) {
    video.currentTime = page.hls.liveSyncPosition;
  }
  hasStalled = false;
  patience *= 2;
}

/** Tell whether the last of a stream that is over has been played. hls.js does not tell it to the
    browser when the sound has a hole of less than its maxBufferHole, as after a reconnect. */
function isOver() {
  const level = page.hls && page.hls.levels[page.hls.loadLevel];
  const details = level && level.details;
  return Boolean(details) && !details.live && video.currentTime > details.edge - 1;
}

/** Return where the playlist ends, in s; 0 while there is none. */
function liveEdge() {
  const details = page.hls && page.hls.latestLevelDetails;
  return details ? details.edge : 0;
}

/** Tell whether hls.js waits for what it does not load: it may never ask for the sound, without
    which the picture is not shown. */
function isIdle() {
  const { main, audio } = page.hls.inFlightFragments;
  const states = [main.state, audio.state];
  return states.some((state) => /^(IDLE|WAITING)/.test(state))
    && !states.some((state) => /LOADING/.test(state));
}

/** Find out whether a stalled stream is over, was started anew, or is only late. */
async function checkStall(wanted) {
  let found = null;
  try {
    const response = await fetch(wanted.url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    found = response.ok ? sources(await response.text()) : null;
  } catch {
    message("The server cannot be reached", "bad");
    return; // hls.js goes on trying
  }
  if (wanted !== watch || stalledFor < STALL_CHECK) return;
  // Where it does not begin though the playlist goes on, another player does.
  const isStuck = video.buffered.length === 0 && liveEdge() - edgeAtStall >= STALL && isIdle();
  if (found === wanted.sources && bufferedInStall < STALL && !isStuck) {
    message("Nothing new from the publisher", "warn");
    return;
  }
  wanted.trouble += 1;
  restart(wanted);
}

/** Tell whether it is played part by part. */
function isLowLatency() {
  const details = page.hls && page.hls.latestLevelDetails;
  return Boolean(details) && details.canBlockReload && page.hls.lowLatencyMode;
}

function latency() {
  let date = null;
  if (page.hls) date = page.hls.playingDate;
  else if (video.getStartDate) date = new Date(video.getStartDate().getTime() + video.currentTime * 1000);
  if (date && !Number.isNaN(date.getTime())) {
    const seconds = Date.now() / 1000 + clockOffset - date.getTime() / 1000;
    if (seconds > -2 && seconds < 600) return Math.max(0, seconds);
  }
  return page.hls ? page.hls.latency : null;
}

function showFigures() {
  const behind = latency();
  $("latency").textContent = behind === null ? "–" : `${behind.toFixed(1)} s`;
  $("picture").textContent = video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : "no picture";
  const bits = Object.values(rates)
    .filter((sizes) => sizes.length)
    .map((sizes) => sum(sizes, 0) / (sum(sizes, 1) || 1))
    .reduce((a, b) => a + b, 0);
  $("bitrate").textContent = bits ? formatRate(bits) : "–";
  const { buffered, currentTime } = video;
  let ahead = 0;
  for (let i = 0; i < buffered.length; i += 1) {
    const end = buffered.end(i);
    if (buffered.start(i) <= currentTime + 0.1 && end > currentTime) ahead = end - currentTime;
  }
  $("buffer").textContent = `${ahead.toFixed(1)} s`;
  if (video.getVideoPlaybackQuality) {
    const { droppedVideoFrames, totalVideoFrames } = video.getVideoPlaybackQuality();
    $("dropped").textContent = `${droppedVideoFrames} of ${totalVideoFrames}`;
  }
  const mode = isLowLatency() ? ", low latency" : "";
  $("engine").textContent = page.hls ? `hls.js ${window.Hls.version}${mode}` : "the browser";
}

// ---------------------------------------------------------------- controls

function soundWanted() {
  try {
    return localStorage.getItem("rapidrtmp.sound") === "on";
  } catch {
    return false;
  }
}

function setSound(on) {
  video.muted = !on;
  if (on && video.volume === 0) video.volume = 1;
  try {
    localStorage.setItem("rapidrtmp.sound", on ? "on" : "off");
  } catch {
    // private windows may not keep it
  }
}

$("choose").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  if (key) choose(key, true);
});
$("home").addEventListener("click", (event) => {
  event.preventDefault();
  choose(null, true);
});
$("unmute").addEventListener("click", () => setSound(true));
$("mute").addEventListener("click", () => setSound(video.muted));
$("play").addEventListener("click", () => (video.paused ? play() : video.pause()));
$("golive").addEventListener("click", () => {
  const { seekable } = video;
  const last = seekable.length ? seekable.end(seekable.length - 1) - NATIVE_DISTANCE : null;
  const newest = page.hls ? page.hls.liveSyncPosition : last;
  if (newest) video.currentTime = newest;
  play();
});
window.addEventListener("popstate", () => choose(keyFromAddress(), false));

setInterval(tick, 1000);
showStreams((key) => choose(key, true));
choose(keyFromAddress(), false);
