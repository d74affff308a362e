/* How to go live: what to fill in, with this server's address and the key that is looked at. */

import { HERE } from "./place.js";
import { KEY } from "./playlist.js";

const $ = (id) => document.getElementById(id);

/** Say how to publish.
 * `server` is the address that encoders are told, if the server tells it. */
export function showStart(key, server) {
  const name = key && KEY.test(key) ? key : "my-stream";
  const address = (server || `rtmp://${HERE}:1935/live`)
    .replace(/^(rtmps?:\/\/)(localhost|127\.0\.0\.1)(?=[:/]|$)/, `$1${HERE}`);
  $("token-command").value = `rapidrtmp token ${name}`;
  $("obs-server").value = address;
  $("obs-key").value = `${name}?token=<token>`;
  $("ffmpeg").value = "ffmpeg -re -i film.mp4 -c:v libx264 -g 50 -pix_fmt yuv420p -c:a aac "
    + `-f flv '${address}/${name}?token=<token>'`;
}
