/* The multivariant playlist of a stream: where it is, what it names, and that it is fetched once. */

import { BASE } from "./streams.js";

// a life and a viewer's session in an address
const SESSION = /\b([0-9a-f]{16})\.[0-9a-f.]+\//g;

/** Return a stream's playlist; what stands in the query of the page's address opens it, too. */
export function playlistURL(key) {
  const url = new URL(`live/${encodeURIComponent(key)}/index.m3u8`, BASE);
  if (key === keyFromAddress()) url.search = location.search;
  return url;
}

export function keyFromAddress() {
  const prefix = `${BASE.pathname}player/`;
  if (!location.pathname.startsWith(prefix)) return null;
  const rest = location.pathname.slice(prefix.length);
  try {
    return decodeURIComponent(rest) || null;
  } catch {
    return rest;
  }
}

/** Return what a multivariant playlist names, but for the viewer's session: other addresses are
    another show. */
export function sources(playlist) {
  return (playlist.match(/^[^#\s].*|URI="[^"]*"/gm) || []).join(" ").replace(SESSION, "$1/");
}

/** Make a loader of playlists for hls.js. The first one, which the page has fetched already, is
    not fetched again: that would open another viewer's session. */
export function playlistLoader(wanted) {
  let fetched = wanted.answer;
  return class extends window.Hls.DefaultConfig.loader {
    load(context, config, callbacks) {
      if (fetched === null || context.type !== "manifest") {
        super.load(context, config, callbacks);
        return;
      }
      const data = fetched;
      fetched = null;
      this.callbacks = callbacks; // gone when the player is, before the playlist is given
      const now = performance.now();
      Object.assign(this.stats.loading, { start: now, first: now, end: now });
      this.stats.loaded = this.stats.total = data.length;
      setTimeout(() => this.callbacks
        && callbacks.onSuccess({ url: context.url, data }, this.stats, context, null));
    }
  };
}
