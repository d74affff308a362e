/* The list of messages below the player. */

const MAX_MESSAGES = 200;

const $ = (id) => document.getElementById(id);

let last = null;

/** Add a message; `level` is "", "warn" or "bad". The same again is counted. */
export function addMessage(text, level) {
  if (last && last.text === text) {
    last.count += 1;
    last.words.textContent = `${text} (×${last.count})`;
    last.time.textContent = clockTime();
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
  last = { text, count: 1, words, time };
}

function clockTime() {
  return new Date().toLocaleTimeString([], { hour12: false });
}
