/* Where the page is: below the server's root, on whatever path and name somebody came by. */

import { decoded } from "./playlist.js";

export const BASE = new URL("..", import.meta.url); // the server's root
export const HERE = location.hostname || "localhost";

/** Tell whether the page was opened by a name that means another machine elsewhere. */
export const IS_LOCAL = /^(localhost|127\..*|\[::1\])$/.test(HERE);

/** Return the stream key in the page's address, whatever it is; null where there is none. */
export function keyFromAddress() {
  const prefix = `${BASE.pathname}player/`;
  if (!location.pathname.startsWith(prefix)) return null;
  return decoded(location.pathname.slice(prefix.length)) || null;
}

/** Return a stream's page, with what stands in the query of this one if it is of that stream. */
export function pageURL(key) {
  return withQuery(new URL(`player/${encodeURIComponent(key)}`, BASE), key);
}

/** Return a stream's playlist; what stands in the query of the page's address opens it, too. */
export function playlistURL(key) {
  return withQuery(new URL(`live/${encodeURIComponent(key)}/index.m3u8`, BASE), key);
}

function withQuery(url, key) {
  if (key === keyFromAddress()) url.search = location.search;
  return url;
}
