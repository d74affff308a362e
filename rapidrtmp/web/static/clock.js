/* The clock of a server, as its answers tell it. */

/** How far a server's clock is ahead of this machine's. */
export class ServerClock {
  /** Seconds; 0 when about the same. */
  offset = 0;

  /** Learn it from the Date header, which has whole seconds. */
  note(response) {
    const date = Date.parse(response.headers.get("Date") || "");
    if (Number.isNaN(date)) return;
    const offset = (date + 500 - Date.now()) / 1000;
    this.offset = Math.abs(offset) > 1.5 ? offset : 0;
  }

  /** Return the server's unix time in seconds. */
  now() {
    return Date.now() / 1000 + this.offset;
  }
}
