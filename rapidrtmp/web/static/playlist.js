/* The multivariant playlist of a stream: whose it is, what it names, and that it is fetched once. */

export const KEY = /^[A-Za-z0-9_-]{1,128}$/;

// a life and a viewer's session in an address
const SESSION = /\b([0-9a-f]{16})\.[0-9a-f.]+\//g;

/** Return the stream key in a playlist's address; "" where there is none. */
export function keyOf(url) {
  const found = /\/live\/([^/]+)\//.exec(url.pathname);
  return found ? decoded(found[1]) : "";
}

/** Undo percent-encoding, where it is some. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Return what a multivariant playlist names, but for the viewer's session: other addresses are
    another show. */
export function sources(playlist) {
  return (playlist.match(/^[^#\s].*|URI="[^"]*"/gm) || []).join(" ").replace(SESSION, "$1/");
}

/** Make a loader of playlists for hls.js. The first one, which the player has fetched already, is
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
