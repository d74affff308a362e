/* Plays a stream by HLS in a <video>, tells in plain words what is going on, and comes back by
   itself when the stream does. Uses hls.js except where the browser has no Media Source Extensions
   but plays HLS itself (iOS). */

import { ServerClock } from "./clock.js";
import { Rates, isLowLatency, measure } from "./figures.js";
import { library } from "./library.js";
import { KEY, keyOf, playlistLoader, sources } from "./playlist.js";
import { MEDIA_ERRORS, WORDS, reason, sentence } from "./words.js";

const TIMEOUT = 15000; // ms; the server holds a first playlist request for up to 9 s
const WAIT_INTERVAL = 2000; // ms between two looks for a stream that is not live yet
const ENDED_INTERVAL = 3000; // ms between two looks for one that has ended
const MAX_BACKOFF = 10000; // ms between attempts while the server cannot be reached
const STALL = 3; // s without progress after which it is said
const STALL_CHECK = 10; // s of a stall after which the reason is looked for, again and again
const CALM = 15; // s of playing after which former trouble is forgotten
const NATIVE_DISTANCE = 6; // s behind the newest moment, where the browser plays HLS itself
const MAX_ERRORS = 200;
const FULL = "viewer limit reached"; // as the server says it
const ABSENT = ["stream not found or not live", "playlist not available"]; // likewise

/** Plays one stream at a time. */
export class Playback {
  hls = null;
  engine = null; // what plays: "hls.js" or "native"
  state = "idle"; // one of STATES in words.js
  errors = []; // for tests in a real browser and for support
  fatals = 0;
  clock = new ServerClock();

  #video;
  #tell;
  #wanted = null; // the stream that is wanted; replaced as a whole, so old timers find out
  #ticking = null;
  #rates = new Rates();
  #userPaused = false;
  #stalledFor = 0; // s
  #calmFor = 0; // s
  #edgeAtStall = 0; // s, where the playlist ended when it began
  #steadyFor = 0; // s since hls.js last met a stall
  #hasStalled = false;
  #patience = CALM; // s
  #lastTime = -1;
  #bufferedInStall = 0; // s

  /** Make it.
   * `tell` is told: `state(state, headline, detail)`, `message(text, level)` with a level of "",
   * "warn" or "bad", and `figures(figures)` once a second, or null when there are none any more. */
  constructor(video, tell) {
    this.#video = video;
    this.#tell = tell;
    video.addEventListener("ended", () => this.#ended());
    video.addEventListener("playing", () => this.#playing());
    video.addEventListener("pause", () => this.#paused());
    video.addEventListener("play", () => { this.#userPaused = false; });
    video.addEventListener("error", () => this.#nativeFailed());
  }

  /** Play a stream, by the address of its multivariant playlist (a URL), instead of any other. */
  open(url) {
    this.#stop();
    const key = keyOf(url);
    if (key && !KEY.test(key)) {
      this.#show("error", "Not a stream key",
        "A stream key has 1 to 128 letters, digits, hyphens and underscores.");
      return;
    }
    const name = key || url.href;
    const wanted = { url, name, backoff: 1000, trouble: 0, sources: "", ended: null };
    this.#wanted = wanted;
    this.#ticking = setInterval(() => this.#tick(), 1000);
    this.#message(`Opening ${name}`);
    this.#show("loading", "Connecting…");
    this.#probe(wanted);
  }

  /** Play nothing any more. */
  close() {
    this.#stop();
    this.#show("idle");
  }

  #stop() {
    if (this.#wanted) clearTimeout(this.#wanted.timer);
    clearInterval(this.#ticking);
    this.#wanted = null;
    this.#userPaused = false;
    this.#teardown();
  }

  /** Play on; without sound where the browser does not allow it. */
  async play() {
    const video = this.#video;
    try {
      await video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return; // a newer load took over
      if (!video.muted) {
        video.muted = true;
        this.play();
        return;
      }
      this.#userPaused = true;
      this.#show("paused");
      this.#message("The browser wants you to press play", "warn");
    }
  }

  /** Jump to the newest moment, and play. */
  goLive() {
    const { seekable } = this.#video;
    const last = seekable.length ? seekable.end(seekable.length - 1) - NATIVE_DISTANCE : null;
    const newest = this.hls ? this.hls.liveSyncPosition : last;
    if (newest) this.#video.currentTime = newest;
    this.play();
  }

  #show(state, headline = "", detail = "") {
    this.state = state;
    this.#tell.state(state, headline, detail);
  }

  #message(text, level = "") {
    this.#tell.message(text, level);
  }

  // -------------------------------------------------------------- is it there?

  /** Look whether the stream is there; start it, or look again later. */
  async #probe(wanted) {
    clearTimeout(wanted.timer);
    let response;
    try {
      response = await fetch(wanted.url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      this.clock.note(response);
      wanted.answer = await response.text();
    } catch {
      if (wanted !== this.#wanted) return;
      this.#message("The server cannot be reached", "bad");
      this.#show("waiting", "The server cannot be reached", "Trying again by itself.");
      wanted.backoff = Math.min(wanted.backoff * 2, MAX_BACKOFF);
      this.#again(wanted, wanted.backoff);
      return;
    }
    if (wanted !== this.#wanted) return;
    if (response.ok && sources(wanted.answer) === wanted.ended) {
      this.#again(wanted, ENDED_INTERVAL);
    } else if (response.ok) {
      wanted.backoff = 1000;
      wanted.ended = null;
      wanted.sources = sources(wanted.answer);
      this.#start(wanted);
    } else if (response.status === 404 && wanted.ended !== null) {
      wanted.ended = ""; // what comes now is new; "ended" stays on the screen until then
      this.#again(wanted, WAIT_INTERVAL);
    } else if (response.status === 404) {
      const words = reason(wanted.answer);
      if (ABSENT.includes(words)) {
        this.#show("waiting", "Waiting for the stream…",
          `Nobody is publishing “${wanted.name}” now. It starts here by itself.`);
      } else {
        this.#show("waiting", "The stream is on, but not for this page", sentence(words));
      }
      this.#again(wanted, WAIT_INTERVAL);
    } else if (response.status === 403) {
      // Asking again by itself would not help: a link does not get better by waiting.
      const words = reason(wanted.answer) || "The server refused it.";
      this.#message(`You may not watch this stream: ${words}`, "bad");
      this.#show("error", "You may not watch this stream", sentence(words));
    } else if (response.status === 503) {
      const words = reason(wanted.answer);
      if (words === FULL) {
        this.#show("waiting", "The stream is full",
          "It has as many viewers as it may have. It starts here when there is room.");
      } else {
        this.#show("starting", "The stream is starting…", sentence(words));
      }
      this.#again(wanted, Math.max(1, Number(response.headers.get("Retry-After")) || 1) * 1000);
    } else {
      this.#message(`The server answered ${response.status}: ${reason(wanted.answer)}`, "bad");
      this.#show("waiting", "The server has a problem", `It answered ${response.status}. Trying again.`);
      wanted.backoff = Math.min(wanted.backoff * 2, MAX_BACKOFF);
      this.#again(wanted, wanted.backoff);
    }
  }

  #again(wanted, delay) {
    clearTimeout(wanted.timer);
    wanted.timer = setTimeout(() => wanted === this.#wanted && this.#probe(wanted), delay);
  }

  // -------------------------------------------------------------- playing

  #teardown() {
    if (this.hls) this.hls.destroy();
    this.hls = null;
    if (this.engine) {
      this.engine = null;
      this.#video.removeAttribute("src");
      this.#video.load();
    }
    this.#stalledFor = this.#calmFor = 0;
    this.#hasStalled = false;
    this.#patience = CALM;
    this.#lastTime = -1;
    this.#rates = new Rates();
    this.#tell.figures(null);
  }

  async #start(wanted) {
    this.#teardown();
    this.#show("loading", "Loading…");
    await library();
    if (wanted !== this.#wanted) return;
    const video = this.#video;
    // Chromium answers "maybe" to native HLS, so hls.js is asked first.
    if (window.Hls && window.Hls.isSupported()) {
      this.#startHls(wanted);
    } else if (video.canPlayType("application/vnd.apple.mpegurl")) {
      this.engine = "native";
      video.src = wanted.url;
      this.play();
    } else if (!window.Hls) {
      this.#show("error", "The player library is missing",
        "static/vendor/hls.min.js is not installed on the server. Open the playlist in VLC or Safari.");
      this.#message("hls.js is missing on the server and this browser has no HLS of its own", "bad");
    } else {
      this.#show("error", "This browser cannot play live video",
        "It has no Media Source Extensions. Open the playlist in VLC.");
    }
  }

  #startHls(wanted) {
    const { Hls } = window;
    const hls = new Hls({
      pLoader: playlistLoader(wanted),
      backBufferLength: 30, // s kept for a step back; more only costs memory
      maxLiveSyncPlaybackRate: 1.1, // catches up unnoticed
    });
    // not above: there it must come with a distance to the live edge, which playlists tell themselves
    // Whoever looks at the past (?dvr=1) is not pulled out of it.
    hls.config.liveMaxLatencyDurationCount = wanted.url.searchParams.has("dvr") ? Infinity : 8;
    this.hls = hls;
    this.engine = "hls.js";
    hls.on(Hls.Events.ERROR, (_, error) => hls === this.hls && this.#failed(wanted, error));
    hls.on(Hls.Events.MANIFEST_PARSED, () => this.#userPaused || this.play());
    hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag, part, stats }) => {
      if (frag.sn === "initSegment") return;
      const { duration } = part || frag;
      if (this.#stalledFor > 0) this.#bufferedInStall += duration;
      this.#rates.add(frag.type, stats.total * 8, duration);
    });
    hls.loadSource(wanted.url.href);
    hls.attachMedia(this.#video);
  }

  #failed(wanted, error) {
    const { Hls } = window;
    const status = error.response && error.response.code ? ` (${error.response.code})` : "";
    const words = `${WORDS[error.details] || "Something went wrong"}${status}`;
    this.#noteError(error.details, error.fatal);
    this.#message(`${words} [${error.details}]`, error.fatal ? "bad" : "warn");
    if (error.details === "bufferStalledError") {
      this.#hasStalled = true;
      this.#steadyFor = 0;
    }
    if (!error.fatal) return;
    this.#calmFor = 0;
    wanted.trouble += 1;
    if (error.type === Hls.ErrorTypes.MEDIA_ERROR && wanted.trouble === 1) {
      this.#show("loading", "Loading…"); // so that the pause it causes is not taken for the viewer's
      this.hls.recoverMediaError();
      this.play();
    } else if (error.type === Hls.ErrorTypes.NETWORK_ERROR && wanted.trouble === 1 && !status) {
      this.hls.startLoad();
    } else if (/IncompatibleCodecs|AddCodec/.test(error.details)) {
      this.#teardown();
      this.#show("error", "This browser cannot decode the stream", "Try another browser, or VLC.");
    } else {
      this.#restart(wanted);
    }
  }

  #noteError(details, fatal) {
    this.errors.push({ details, fatal, at: Date.now() });
    if (this.errors.length > MAX_ERRORS) this.errors.shift();
    if (fatal) this.fatals += 1;
  }

  /** Begin anew; ever more slowly while it does not help. */
  #restart(wanted) {
    this.#teardown();
    this.#show("loading", "Connecting again…");
    this.#again(wanted, Math.min(500 * 2 ** Math.min(wanted.trouble, 5), MAX_BACKOFF));
  }

  #ended() {
    const wanted = this.#wanted;
    if (!wanted || !this.engine) return;
    this.#message("The stream has ended");
    wanted.ended = wanted.sources;
    this.#show("ended", "The stream has ended", "If it comes back it starts here by itself.");
    this.#again(wanted, ENDED_INTERVAL);
  }

  #playing() {
    if (!this.engine) return;
    if (this.state !== "playing") this.#message("Playing");
    this.#userPaused = false;
    this.#stalledFor = 0;
    this.#show("playing");
  }

  #paused() {
    if (this.state !== "playing" || this.#video.ended || this.#video.seeking) return;
    this.#userPaused = true;
    this.#show("paused");
  }

  #nativeFailed() {
    const wanted = this.#wanted;
    if (this.engine !== "native" || !wanted) return;
    const code = this.#video.error ? this.#video.error.code : 0;
    this.#message(MEDIA_ERRORS[code] || "Playing failed", "bad");
    this.#noteError(`mediaError${code}`, true);
    wanted.trouble += 1;
    this.#restart(wanted);
  }

  // -------------------------------------------------------------- once a second

  #tick() {
    const video = this.#video;
    if (!this.engine || !this.#wanted) return;
    const moves = video.currentTime !== this.#lastTime;
    this.#lastTime = video.currentTime;
    this.#tell.figures(measure(video, this.hls, this.clock, this.#rates));
    if (video.paused || video.ended || this.state === "ended") return;
    if (moves && video.readyState >= 2) {
      this.#stalledFor = 0;
      this.#calmFor += 1;
      if (this.#calmFor === CALM) this.#wanted.trouble = 0;
      this.#steadyFor += 1;
      if (this.#hasStalled && this.#steadyFor >= this.#patience) this.#returnToEdge();
      if (this.state === "stalled") this.#show("playing");
      return;
    }
    if (this.#stalledFor === 0) {
      this.#bufferedInStall = 0;
      this.#edgeAtStall = this.#liveEdge();
    }
    this.#stalledFor += 1;
    if (this.#stalledFor === STALL && this.#isOver()) {
      this.#ended();
      video.pause();
      return;
    }
    if (this.#stalledFor === STALL && this.state === "playing") {
      this.#show("stalled", "Waiting for more…", "The publisher paused, or the network is slow.");
    }
    if (this.#stalledFor % STALL_CHECK === 0) this.#checkStall(this.#wanted);
  }

  /** Go back to where low latency is once all is calm; where that leads to another stall, only after
      twice as long. With every stall hls.js keeps a second more from the live edge, for ever, and
      more than a target duration behind that it does not catch up. */
  #returnToEdge() {
    const { hls } = this;
    if (!isLowLatency(hls)) return;
    const { partHoldBack, targetduration } = hls.latestLevelDetails;
    hls.targetLatency = partHoldBack;
    if (hls.latency > partHoldBack + targetduration) {
      this.#video.currentTime = hls.liveSyncPosition;
    }
    this.#hasStalled = false;
    this.#patience *= 2;
  }

  /** Tell whether the last of a stream that is over has been played. hls.js does not tell it to the
      browser when the sound has a hole of less than its maxBufferHole, as after a reconnect. */
  #isOver() {
    const level = this.hls && this.hls.levels[this.hls.loadLevel];
    const details = level && level.details;
    return Boolean(details) && !details.live && this.#video.currentTime > details.edge - 1;
  }

  /** Return where the playlist ends, in s; 0 while there is none. */
  #liveEdge() {
    const details = this.hls && this.hls.latestLevelDetails;
    return details ? details.edge : 0;
  }

  /** Tell whether hls.js waits for what it does not load: it may never ask for the sound, without
      which the picture is not shown. */
  #isIdle() {
    const { main, audio } = this.hls.inFlightFragments;
    const states = [main.state, audio.state];
    return states.some((state) => /^(IDLE|WAITING)/.test(state))
      && !states.some((state) => /LOADING/.test(state));
  }

  /** Find out whether a stalled stream is over, was started anew, or is only late. */
  async #checkStall(wanted) {
    let found = null;
    try {
      const response = await fetch(wanted.url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      found = response.ok ? sources(await response.text()) : null;
    } catch {
      this.#message("The server cannot be reached", "bad");
      return; // hls.js goes on trying
    }
    if (wanted !== this.#wanted || this.#stalledFor < STALL_CHECK) return;
    // Where it does not begin though the playlist goes on, another player does.
    const isStuck = this.#video.buffered.length === 0
      && this.#liveEdge() - this.#edgeAtStall >= STALL && this.#isIdle();
    if (found === wanted.sources && this.#bufferedInStall < STALL && !isStuck) {
      this.#message("Nothing new from the publisher", "warn");
      return;
    }
    wanted.trouble += 1;
    this.#restart(wanted);
  }
}
