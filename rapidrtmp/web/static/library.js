/* Fetches hls.js, unless the page has brought one. */

let coming = null;

/** Return a promise that is kept when `window.Hls` is there, or will never be. */
export function library() {
  const isOfUse = "MediaSource" in window || "ManagedMediaSource" in window;
  if (window.Hls || !isOfUse) return Promise.resolve();
  coming ??= new Promise((done) => {
    const script = document.createElement("script");
    script.src = new URL("vendor/hls.min.js", import.meta.url);
    script.onload = done;
    script.onerror = done;
    document.head.append(script);
  });
  return coming;
}
