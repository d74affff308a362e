/* The bar at the top of every page: it leads to the stream whose key is typed. */

import { pageURL } from "./place.js";

const $ = (id) => document.getElementById(id);

/** Make the form work: `choose(key)` is called, or else the stream's page is opened. */
export function enableBar(choose = (key) => location.assign(pageURL(key))) {
  $("choose").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = $("key").value.trim();
    if (key) choose(key);
  });
}
