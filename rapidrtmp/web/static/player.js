/* The page of a stream: what <rapid-player> says, in figures and words, and what is around it. */

import { enableBar } from "./bar.js";
import { Chart } from "./charts.js";
import { enableCopying } from "./copying.js";
import { showDiagnosis } from "./diagnosis.js";
import { addMessage } from "./messages.js";
import { keyFromAddress, pageURL, playlistURL } from "./place.js";
import { KEY } from "./playlist.js";
import "./rapid-player.js";
import { showShare } from "./share.js";
import { showStart } from "./start.js";
import { markStream, server, showStreams } from "./streams.js";
import { STATES, formatRate, formatSeconds } from "./words.js";

const $ = (id) => document.getElementById(id);
const player = $("player");
const { video } = player;

window.rapidrtmp = player; // for support, and for tests in a real browser

let current = null; // key of the chosen stream
let state = null; // of the player

// ---------------------------------------------------------------- choosing a stream

function choose(key, push) {
  current = key;
  $("key").value = key || "";
  $("title").textContent = key || "No stream chosen";
  document.title = key ? `${key} – RapidRTMP` : "RapidRTMP player";
  if (push && key !== keyFromAddress()) history.pushState(null, "", pageURL(key));
  showShare(key && KEY.test(key) ? key : null);
  showStart(key, server);
  markStream(key);
  showDiagnosis(key);
  if (key) player.src = playlistURL(key).href;
  else player.removeAttribute("src");
}

// ---------------------------------------------------------------- what the player says

function showState() {
  showButtons();
  if (player.state === state) return;
  state = player.state;
  $("status").dataset.state = state;
  $("status-text").textContent = STATES[state];
  // whoever waits for a stream may be the one who is to start it
  if (state === "waiting" || state === "idle") $("start").open = true;
  if (state === "playing") $("start").open = false;
}

function showButtons() {
  const isOn = player.engine !== null;
  $("play").disabled = $("mute").disabled = !isOn;
  $("golive").disabled = !isOn || player.state === "ended";
  $("mute").textContent = video.muted ? "Sound on" : "Mute";
  $("play").textContent = video.paused ? "Play" : "Pause";
}

const charts = Object.fromEntries(["latency", "buffer", "bitrate", "level"].map(
  (name) => [name, new Chart($(`${name}-chart`))]));

function showFigures({ detail: figures }) {
  $("figures").hidden = !figures;
  if (!figures) {
    for (const chart of Object.values(charts)) chart.clear();
    return;
  }
  const { level, levels, levelBitrate, width, height } = figures;
  for (const name of ["latency", "buffer", "bitrate"]) charts[name].add(figures[name]);
  charts.level.add(height || null);
  const format = { latency: formatSeconds, buffer: formatSeconds, bitrate: formatRate };
  for (const [name, words] of Object.entries(format)) {
    $(name).textContent = figures[name] === null ? "–" : words(figures[name]);
    const { range } = charts[name];
    $(`${name}-range`).textContent = range ? `${words(range[0])} to ${words(range[1])}` : "";
  }
  $("picture").textContent = width ? `${width} × ${height}` : "no picture";
  $("level").textContent = level ? `${level} of ${levels}, up to ${formatRate(levelBitrate)}` : "";
  $("dropped").textContent = figures.frames === null ? "–" : `${figures.dropped} of ${figures.frames}`;
  $("mode").textContent = figures.isLowLatency ? "low latency" : "whole segments";
  $("engine").textContent = figures.engine;
}

player.addEventListener("rapidstate", showState);
player.addEventListener("rapidfigures", showFigures);
player.addEventListener("rapidmessage", ({ detail: { text, level } }) => addMessage(text, level));
for (const type of ["play", "pause", "volumechange"]) video.addEventListener(type, showButtons);

// ---------------------------------------------------------------- controls

$("mute").addEventListener("click", () => player.setSound(video.muted));
$("play").addEventListener("click", () => (video.paused ? player.play() : player.pause()));
$("golive").addEventListener("click", () => player.goLive());
$("streams").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  choose(link.dataset.key, true);
});
window.addEventListener("popstate", () => choose(keyFromAddress(), false));

enableBar((key) => choose(key, true));
enableCopying();
if (window.top === window) { // in a frame there is the player alone
  showStreams(() => {
    markStream(current);
    showDiagnosis(current);
    showStart(current, server);
  });
}
choose(keyFromAddress(), false);
showState();
