/* What is wrong with the encoder of a stream, where the server tells it: to who runs it. */

import { capital } from "./words.js";

const $ = (id) => document.getElementById(id);

let all = null; // stream key to its problems; null when the server does not tell
let shown = "";

/** Take what the server tells now: stream key to problems, or nothing at all. */
export function setDiagnosis(told) {
  all = told ? new Map(Object.entries(told)) : null;
}

/** Return the problems of a stream, the gravest first; null when they are not known. */
export function problems(key) {
  return (all && all.get(key)) || null;
}

/** Return the keys of all encoders that are connected, if that is told. */
export function encoders() {
  return all ? [...all.keys()] : [];
}

/** Say in few words how many problems a stream has. */
export function summary(key) {
  const count = (problems(key) || []).length;
  return count ? `${count} ${count === 1 ? "problem" : "problems"}` : "";
}

/** Show what is wrong with the stream that is watched. */
export function showDiagnosis(key) {
  const found = problems(key);
  const text = JSON.stringify([key, found]);
  if (text === shown) return;
  shown = text;
  $("encoder").hidden = found === null;
  if (found === null) return;
  $("encoder").dataset.state = found.length ? "warn" : "good";
  $("encoder-count").textContent = summary(key) || "all is well";
  $("encoder-hint").hidden = !found.length;
  $("problems").replaceChildren(...found.map(entry));
}

function entry({ problem, fix, since }) {
  const item = document.createElement("li");
  const what = document.createElement("strong");
  const advice = document.createElement("p");
  what.textContent = capital(problem);
  what.title = `since ${new Date(since).toLocaleTimeString()}`;
  for (const part of fix.split("; ")) { // a program each, as a rule
    const line = document.createElement("span");
    line.textContent = capital(part);
    advice.append(line);
  }
  item.append(what, advice);
  return item;
}
