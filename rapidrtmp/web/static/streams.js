/* The right side of the player page: which streams are live, and how to publish one. */

import { encoders, setDiagnosis, showDiagnosis, summary } from "./diagnosis.js";
import { keepThumbnails, thumbnail } from "./thumbnails.js";

export const BASE = new URL("..", import.meta.url); // the server's root, below whatever path
export const KEY = /^[A-Za-z0-9_-]{1,128}$/;
export const TIMEOUT = 15000; // ms; the server holds a first playlist request for up to 9 s

const INTERVAL = 3000; // ms between two looks at the list of live streams
const PRIVATE_INTERVAL = 30000; // ms, when the server does not show its list

const $ = (id) => document.getElementById(id);

let current = null; // key of the chosen stream
let server = ""; // where encoders publish, as the server tells it
let hasThumbnails = false;
let shown = "[]";

/** How many seconds the server's clock is ahead; 0 when about the same. */
export let clockOffset = 0;

/** Learn the server's clock from its Date header, which has whole seconds. */
export function noteServerTime(response) {
  const date = Date.parse(response.headers.get("Date") || "");
  if (Number.isNaN(date)) return;
  const offset = (date + 500 - Date.now()) / 1000;
  clockOffset = Math.abs(offset) > 1.5 ? offset : 0;
}

/** Keep the list of live streams up to date; `choose(key)` is called when one is clicked. */
export function showStreams(choose) {
  $("streams").addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose(link.dataset.key);
  });
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
  refresh();
}

/** Mark the stream that is watched, and tell how to publish to its key. */
export function setCurrent(key) {
  current = key;
  for (const link of $("streams").querySelectorAll("a")) {
    if (link.dataset.key === key) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  showDiagnosis(key);
  const name = key && KEY.test(key) ? key : "my-stream";
  const host = location.hostname || "localhost";
  $("obs-server").value = (server || `rtmp://${host}:1935/live`)
    .replace(/^(rtmps?:\/\/)(localhost|127\.0\.0\.1)(?=[:/]|$)/, `$1${host}`);
  $("obs-key").value = `${name}?token=…`;
  const port = location.port ? `:${location.port}` : "";
  $("obs-curl").value = `curl http://localhost${port}/api/v1/publish `
    + `-H 'Content-Type: application/json' -d '{"streamKey":"${name}"}'`;
}

async function refresh() {
  let delay = INTERVAL;
  if (!document.hidden) {
    try {
      const url = new URL("streams.json", BASE);
      const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT) });
      noteServerTime(response);
      if (response.ok) {
        const feed = await response.json();
        server = feed.server;
        hasThumbnails = feed.thumbnails;
        setDiagnosis(feed.diagnosis);
        show([...feed.streams, ...starting(feed.streams)], "Nobody is live now.");
      } else {
        setDiagnosis(null);
        show([], "This server keeps its list private. Type a stream key above.");
        delay = PRIVATE_INTERVAL;
      }
    } catch {
      setDiagnosis(null);
      show([], "The server cannot be reached.");
    }
  }
  setTimeout(refresh, delay);
}

/** Return the streams of encoders that are connected but send nothing that can be watched. */
function starting(live) {
  const keys = new Set(live.map((stream) => stream.streamKey));
  return encoders().filter((key) => !keys.has(key)).map((key) => ({ streamKey: key }));
}

function show(streams, hint) {
  $("streams-hint").textContent = hint;
  showDiagnosis(current);
  const text = JSON.stringify([streams, server, streams.map((each) => summary(each.streamKey))]);
  if (text === shown) return;
  shown = text;
  $("live-count").textContent = streams.filter(isLive).length;
  const focused = document.activeElement?.dataset.key;
  $("streams").replaceChildren(...streams.map(entry));
  keepThumbnails(new Set(streams.map((each) => each.streamKey)));
  if (focused) $("streams").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  setCurrent(current);
}

function isLive(stream) {
  return stream.viewers !== undefined;
}

function entry(stream) {
  const link = document.createElement("a");
  const text = document.createElement("span");
  const name = document.createElement("strong");
  const words = document.createElement("small");
  link.href = new URL(`player/${encodeURIComponent(stream.streamKey)}`, BASE);
  link.dataset.key = stream.streamKey;
  name.textContent = stream.streamKey;
  const size = stream.resolution && stream.resolution.replace("x", " × ");
  const codecs = [stream.videoCodec, stream.audioCodec].filter(Boolean).join(" + ");
  const viewers = isLive(stream) ? `${stream.viewers} watching` : "not live yet";
  words.textContent = [size, codecs, viewers].filter(Boolean).join(" · ");
  text.append(name, words);
  const troubles = summary(stream.streamKey);
  if (troubles) {
    const note = document.createElement("small");
    note.className = "note";
    note.textContent = troubles;
    text.append(note);
  }
  link.append(text);
  if (!isLive(stream)) {
    link.className = "starting";
  } else if (hasThumbnails) {
    const url = new URL(`live/${stream.streamKey}/thumb.jpg`, BASE);
    link.prepend(thumbnail(stream.streamKey, stream.videoCodec && url));
  }
  const item = document.createElement("li");
  item.append(link);
  return item;
}

async function copy(button) {
  const field = $(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    field.select(); // pages without HTTPS have no clipboard of their own
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
