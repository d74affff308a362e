/* Sharing a stream: its link, its playlist, what to put into another page, a code for the phone. */

import { BASE, HERE, IS_LOCAL, pageURL, playlistURL } from "./place.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const QUIET = 4; // modules of white around a QR code (ISO/IEC 18004 section 9.1)

const $ = (id) => document.getElementById(id);

/** Show how to share a stream; nothing when `key` is null. */
export function showShare(key) {
  $("share").hidden = !key;
  if (!key) return;
  const link = pageURL(key);
  const playlist = playlistURL(key);
  $("link").value = link.href;
  $("url").value = playlist.href;
  $("frame").value = `<iframe src="${markup(link.href)}" width="640" height="360" `
    + `title="Live stream ${key}" allow="autoplay; fullscreen; picture-in-picture"></iframe>`;
  const script = new URL("static/rapid-player.js", BASE);
  $("element").value = `<script type="module" src="${script.href}"></script>\n`
    + `<rapid-player src="${markup(playlist.href)}"></rapid-player>`;
  $("share-note").textContent = note(link);
  $("send").hidden = !navigator.share;
  $("send").onclick = () => navigator.share({ title: key, url: link.href }).catch(() => {});
  showCode(link.href);
}

function markup(address) {
  return address.replaceAll("&", "&amp;");
}

/** Say whom the link will not help. */
function note(link) {
  if (IS_LOCAL) {
    return `“${HERE}” means this machine only. Open this page by the machine's name or address in `
      + "your network, and the code and the links work on other machines, too.";
  }
  const expires = Number(link.searchParams.get("expires"));
  if (link.searchParams.has("signature") && expires) {
    return `This link is signed: whoever has it may watch until ${new Date(expires * 1000).toLocaleString()}.`;
  }
  return "";
}

async function showCode(text) {
  const picture = $("qr");
  try {
    const { encode } = await import("./vendor/uqr.js");
    if ($("link").value !== text) return; // another stream was chosen meanwhile
    const { data, size } = encode(text, { ecc: "M", border: 0 });
    const all = size + 2 * QUIET;
    const dark = document.createElementNS(NAMESPACE, "path");
    dark.setAttribute("d", data.flatMap((row, y) => row.map(
      (isDark, x) => (isDark ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : ""))).join(""));
    picture.setAttribute("viewBox", `0 0 ${all} ${all}`);
    picture.replaceChildren(dark);
    $("code").hidden = false;
  } catch {
    $("code").hidden = true; // too long for a code, or the library is not installed
  }
}
