/* Small pictures of the live streams in the list: loaded when they are seen, refreshed seldom. */

const INTERVAL = 30000; // ms between two pictures of a stream

const pictures = new Map(); // stream key to its <img>, which outlives the entries of the list

/** Return the frame with the picture of a stream; empty for as long as there is none.
 * `url` is where it is; nothing for a stream without video. */
export function thumbnail(key, url) {
  const frame = document.createElement("span");
  frame.className = "shot";
  if (!url) return frame;
  let picture = pictures.get(key);
  if (!picture) {
    picture = document.createElement("img");
    picture.loading = "lazy";
    picture.decoding = "async";
    picture.width = 96;
    picture.height = 54;
    picture.alt = `Latest picture of ${key}`;
    picture.className = "missing";
    picture.addEventListener("load", () => { picture.className = ""; });
    picture.addEventListener("error", () => { picture.className = "missing"; });
    picture.dataset.url = url;
    load(picture);
    pictures.set(key, picture);
  }
  frame.append(picture);
  return frame;
}

/** Forget the pictures of streams that are not in the list any more. */
export function keepThumbnails(keys) {
  for (const key of pictures.keys()) {
    if (!keys.has(key)) pictures.delete(key);
  }
}

function load(picture) {
  // the same address would be taken from memory
  picture.src = `${picture.dataset.url}?at=${Math.floor(Date.now() / 1000)}`;
}

setInterval(() => {
  if (!document.hidden) pictures.forEach(load);
}, INTERVAL);
