/* The right side of the player page: which streams are live, and how to publish one. */

export const BASE = new URL("..", import.meta.url); // the server's root, below whatever path
export const KEY = /^[A-Za-z0-9_-]{1,128}$/;
export const TIMEOUT = 15000; // ms; the server holds a first playlist request for up to 9 s

const INTERVAL = 3000; // ms between two looks at the list of live streams
const PRIVATE_INTERVAL = 30000; // ms, when the server does not show its list

const $ = (id) => document.getElementById(id);

let current = null; // key of the chosen stream
let server = ""; // where encoders publish, as the server tells it
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
        show(feed.streams, "Nobody is live now.");
      } else {
        show([], "This server keeps its list private. Type a stream key above.");
        delay = PRIVATE_INTERVAL;
      }
    } catch {
      show([], "The server cannot be reached.");
    }
  }
  setTimeout(refresh, delay);
}

function show(streams, hint) {
  $("streams-hint").textContent = hint;
  const text = JSON.stringify([streams, server]);
  if (text === shown) return;
  shown = text;
  $("live-count").textContent = streams.length;
  $("streams").replaceChildren(...streams.map(entry));
  setCurrent(current);
}

function entry(stream) {
  const link = document.createElement("a");
  const name = document.createElement("strong");
  const words = document.createElement("small");
  link.href = new URL(`player/${encodeURIComponent(stream.streamKey)}`, BASE);
  link.dataset.key = stream.streamKey;
  name.textContent = stream.streamKey;
  const size = stream.resolution && stream.resolution.replace("x", " × ");
  const codecs = [stream.videoCodec, stream.audioCodec].filter(Boolean).join(" + ");
  words.textContent = [size, codecs, `${stream.viewers} watching`].filter(Boolean).join(" · ");
  link.append(name, words);
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
