/* The player as an element, for any page of any site:

     <script type="module" src="https://live.example.org/static/rapid-player.js"></script>
     <rapid-player src="https://live.example.org/live/show/index.m3u8"></rapid-player>

   Its <video> is a child of the element, one that the page brings or one of its own. Events, with
   what they tell in `detail`: `rapidstate` ({state, headline, detail}), `rapidmessage` ({text,
   level}), and once a second `rapidfigures` (what figures.js measures, or null). */

import { keyOf } from "./playlist.js";
import { Playback } from "./playback.js";
import { STATES } from "./words.js";

const BUSY = ["loading", "waiting", "starting", "stalled"];
const LOOK = `
  <div class="screen" part="screen" hidden>
    <slot></slot>
    <div class="veil" part="veil" role="status">
      <div class="pulse" aria-hidden="true"></div>
      <p class="headline"></p>
      <p class="detail"></p>
    </div>
    <button type="button" class="unmute" part="unmute" hidden>
      <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path fill="currentColor" d="M3 9v6h4l5 5V4L7 9H3zm13.6 3 2.7-2.7-1.4-1.4-2.7 2.7-2.7-2.7v2.8l1.3 1.3-1.3 1.3v2.8l2.7-2.7 2.7 2.7 1.4-1.4L16.6 12z"/></svg>
      Turn sound on
    </button>
    <span class="badge" part="badge" hidden>LIVE</span>
  </div>`;

/** Plays the stream whose multivariant playlist `src` names. */
export class RapidPlayer extends HTMLElement {
  static observedAttributes = ["src"];

  #playback = null;
  #parts = {};

  /** The <video>; null until the element is in a page. */
  video = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = LOOK;
    for (const part of root.querySelectorAll("[class]")) this.#parts[part.classList[0]] = part;
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("rapid-player.css", import.meta.url);
    const show = () => { this.#parts.screen.hidden = false; }; // not before it looks like something
    style.onload = show;
    style.onerror = show;
    root.prepend(style);
    this.#parts.unmute.addEventListener("click", () => this.setSound(true));
  }

  /** Address of the multivariant playlist, `…/live/<stream key>/index.m3u8`; with its query. */
  get src() {
    return this.getAttribute("src") || "";
  }

  set src(address) {
    this.setAttribute("src", address);
  }

  /** What goes on: one of the states in words.js, as "playing", "waiting" or "error". */
  get state() {
    return this.#playback ? this.#playback.state : "idle";
  }

  /** "hls.js", or "native" where the browser plays HLS itself; null while nothing is played. */
  get engine() {
    return this.#playback && this.#playback.engine;
  }

  /** The Hls of hls.js that plays; null while there is none. */
  get hls() {
    return this.#playback && this.#playback.hls;
  }

  /** What went wrong so far, for support. */
  get errors() {
    return this.#playback ? this.#playback.errors : [];
  }

  /** How many of them a player could not go on after. */
  get fatals() {
    return this.#playback ? this.#playback.fatals : 0;
  }

  connectedCallback() {
    if (!this.#playback) this.#begin();
    this.#open();
  }

  disconnectedCallback() {
    this.#playback.close();
  }

  attributeChangedCallback() { // to the same address, too: then it begins anew
    if (this.#playback && this.isConnected) this.#open();
  }

  /** Play on after a pause. */
  play() {
    this.#playback.play();
  }

  /** Stop for a while. */
  pause() {
    this.video.pause();
  }

  /** Jump to the newest moment, and play. */
  goLive() {
    this.#playback.goLive();
  }

  /** Turn the sound on or off, and remember it for the next time. */
  setSound(on) {
    this.video.muted = !on;
    if (on && this.video.volume === 0) this.video.volume = 1;
    try {
      localStorage.setItem("rapidrtmp.sound", on ? "on" : "off");
    } catch {
      // private windows may not keep it
    }
  }

  #begin() {
    let video = this.querySelector("video");
    if (!video) {
      video = document.createElement("video");
      video.playsInline = true;
      video.controls = true;
      this.append(video);
    }
    this.video = video;
    video.addEventListener("volumechange", () => this.#showUnmute());
    this.#playback = new Playback(video, {
      state: (...told) => this.#showState(...told),
      message: (text, level) => this.#emit("rapidmessage", { text, level }),
      figures: (figures) => this.#emit("rapidfigures", figures),
    });
  }

  #open() {
    const { src, video } = this;
    if (!src) {
      this.#playback.close();
      return;
    }
    const url = new URL(src, document.baseURI);
    video.setAttribute("aria-label", `Live stream ${keyOf(url)}`.trim());
    video.muted = !soundWanted();
    this.#playback.open(url);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #showState(state, headline, detail) {
    const { veil, pulse, badge } = this.#parts;
    veil.hidden = state === "playing" || state === "paused";
    veil.classList.toggle("thin", state === "stalled" || state === "ended");
    pulse.hidden = !BUSY.includes(state);
    setText(this.#parts.headline, headline || STATES[state]);
    setText(this.#parts.detail, detail);
    badge.hidden = state !== "playing";
    this.#showUnmute();
    this.#emit("rapidstate", { state, headline, detail });
  }

  #showUnmute() {
    this.#parts.unmute.hidden = !(this.video.muted && ["playing", "stalled"].includes(this.state));
  }
}

/** Change a text only where it differs, so that it is not read out again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function soundWanted() {
  try {
    return localStorage.getItem("rapidrtmp.sound") === "on";
  } catch {
    return false;
  }
}

if (!customElements.get("rapid-player")) customElements.define("rapid-player", RapidPlayer);
