/* Small pictures of the live streams in the list: loaded when they are seen, refreshed seldom. */

const INTERVAL = 30000; // ms between two pictures of a stream

const pictures = new Map(); // stream key to its <img>

/** Show the picture of a stream in its frame; nothing for as long as there is none.
 * `url` is where it is; null for a stream without video. */
export function showThumbnail(frame, key, url) {
  if (!url) {
    pictures.delete(key);
    frame.replaceChildren();
    return;
  }
  if (pictures.has(key)) return;
  const picture = document.createElement("img");
  picture.loading = "lazy";
  picture.decoding = "async";
  picture.width = 320;
  picture.height = 180;
  picture.alt = `Latest picture of ${key}`;
  picture.className = "missing";
  picture.addEventListener("load", () => { picture.className = ""; });
  picture.addEventListener("error", () => { picture.className = "missing"; });
  picture.dataset.url = url;
  load(picture);
  pictures.set(key, picture);
  frame.replaceChildren(picture);
}

function load(picture) {
  // the same address would be taken from memory
  picture.src = `${picture.dataset.url}?at=${Math.floor(Date.now() / 1000)}`;
}

setInterval(() => {
  if (!document.hidden) pictures.forEach(load);
}, INTERVAL);
