/* The first page: what is live now, and how to go live. */

import { enableBar } from "./bar.js";
import { enableCopying } from "./copying.js";
import { showStart } from "./start.js";
import { server, showStreams } from "./streams.js";
import { formatRate } from "./words.js";

const $ = (id) => document.getElementById(id);

let isFirst = true;

function looked(streams) {
  const isEmpty = Boolean(streams) && $("streams").children.length === 0;
  $("empty").hidden = !isEmpty;
  $("streams-hint").hidden = isEmpty || $("streams").children.length > 0;
  if (isFirst && streams) $("start").open = isEmpty; // from then on it is the reader's
  isFirst = isFirst && !streams;
  const viewers = (streams || []).reduce((total, stream) => total + stream.viewers, 0);
  const bits = (streams || []).reduce((total, stream) => total + (stream.bitrate || 0), 0);
  const rate = bits ? ` · ${formatRate(bits)} coming in` : "";
  const text = streams && streams.length ? `${viewers} watching${rate}` : "";
  if ($("totals").textContent !== text) $("totals").textContent = text;
  showStart(null, server);
}

enableBar();
enableCopying();
showStart(null, server);
showStreams(looked);
