/* The list of what is live, kept up to date: on the first page, and beside the player. */

import { ServerClock } from "./clock.js";
import { encoders, setDiagnosis, summary } from "./diagnosis.js";
import { BASE } from "./place.js";
import { showThumbnail } from "./thumbnails.js";
import { formatRate, formatUptime } from "./words.js";

const TIMEOUT = 15000; // ms
const INTERVAL = 3000; // ms between two looks at the list of live streams
const PRIVATE_INTERVAL = 30000; // ms, when the server does not show its list

const $ = (id) => document.getElementById(id);
const clock = new ServerClock();
const rows = new Map(); // stream key to its row, which stays the same while it is listed

/** Where encoders publish, as the server tells it; "" until then, or where it does not. */
export let server = "";

/** Keep the list of live streams up to date. After each look `looked` is called with those that are
 * live, or null where the server keeps its list private or cannot be reached. */
export async function showStreams(looked) {
  let delay = INTERVAL;
  if (!document.hidden) {
    let streams = null;
    try {
      const response = await fetch(new URL("streams.json", BASE), { signal: AbortSignal.timeout(TIMEOUT) });
      clock.note(response);
      if (response.ok) {
        const feed = await response.json();
        streams = feed.streams;
        server = feed.server;
        setDiagnosis(feed.diagnosis);
        show([...streams, ...starting(streams)], feed.thumbnails, "Nobody is live now.");
      } else {
        setDiagnosis(null);
        show([], false, "This server keeps its list private. Type a stream key above.");
        delay = PRIVATE_INTERVAL;
      }
    } catch {
      setDiagnosis(null);
      show([], false, "The server cannot be reached. Trying again by itself.");
    }
    $("live-count").textContent = streams ? streams.length : "–";
    looked(streams);
  }
  setTimeout(() => showStreams(looked), delay);
}

/** Mark the stream that is watched. */
export function markStream(current) {
  for (const [key, row] of rows) {
    if (key === current) row.link.setAttribute("aria-current", "page");
    else row.link.removeAttribute("aria-current");
  }
}

/** Return the streams of encoders that are connected but send nothing that can be watched. */
function starting(live) {
  const keys = new Set(live.map((stream) => stream.streamKey));
  return encoders().filter((key) => !keys.has(key)).map((key) => ({ streamKey: key }));
}

function show(streams, hasThumbnails, hint) {
  $("streams-hint").textContent = hint;
  $("streams-hint").hidden = streams.length > 0;
  const listed = streams.map((stream) => {
    const row = rows.get(stream.streamKey) || makeRow(stream.streamKey);
    fill(row, stream, hasThumbnails);
    return row;
  });
  const keys = new Set(streams.map((stream) => stream.streamKey));
  for (const [key, row] of rows) {
    if (!keys.has(key)) {
      showThumbnail(row.frame, key, null);
      row.item.remove();
      rows.delete(key);
    }
  }
  // not all anew: what has the focus would lose it
  listed.forEach(({ item }, at) => {
    const list = $("streams");
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] || null);
  });
}

function makeRow(key) {
  const [item, link, frame, about, name, words, rest, note] = ["li", "a", "span", "span", "strong",
    "small", "small", "small"].map((tag) => document.createElement(tag));
  link.href = new URL(`player/${encodeURIComponent(key)}`, BASE);
  link.dataset.key = key;
  frame.className = "shot";
  about.className = "about";
  note.className = "note";
  name.textContent = key;
  about.append(name, words, rest, note);
  link.append(frame, about);
  item.append(link);
  const row = { item, link, frame, words, rest, note };
  rows.set(key, row);
  return row;
}

function fill(row, stream, hasThumbnails) {
  const key = stream.streamKey;
  const isLive = stream.viewers !== undefined;
  const uptime = stream.startedAt ? formatUptime(clock.now() - Date.parse(stream.startedAt) / 1000) : "";
  const size = stream.resolution && stream.resolution.replace("x", " × ");
  const codecs = [stream.videoCodec, stream.audioCodec].filter(Boolean).join(" + ");
  const rate = stream.bitrate && formatRate(stream.bitrate);
  row.link.className = isLive ? "" : "starting";
  row.frame.hidden = !isLive || !hasThumbnails;
  setText(row.words, isLive ? [`${stream.viewers} watching`, uptime].filter(Boolean).join(" · ") : "not live yet");
  setText(row.rest, [size, codecs, rate].filter(Boolean).join(" · "));
  setText(row.note, summary(key));
  const hasPicture = isLive && hasThumbnails && stream.videoCodec;
  showThumbnail(row.frame, key, hasPicture ? new URL(`live/${key}/thumb.jpg`, BASE) : null);
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
