/* Small charts of what is measured once a second. */

const NAMESPACE = "http://www.w3.org/2000/svg";
const LENGTH = 60; // values that are shown: a minute
const HEIGHT = 34;

/** A line of the newest values; its element is a picture for the eye alone. */
export class Chart {
  #values = [];
  #line = shape("polyline", "trace");
  #area = shape("polygon", "area");

  /** Draw into an element. */
  constructor(place) {
    const picture = shape("svg", "chart");
    picture.setAttribute("viewBox", `0 0 ${LENGTH - 1} ${HEIGHT}`);
    picture.setAttribute("preserveAspectRatio", "none");
    picture.setAttribute("aria-hidden", "true");
    picture.append(this.#area, this.#line);
    place.append(picture);
  }

  /** Add a value, not negative; null where there is none. */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > LENGTH) this.#values.shift();
    this.#draw();
  }

  /** Forget all. */
  clear() {
    this.#values = [];
    this.#draw();
  }

  /** Return the least and the greatest value that are shown; null where there is none. */
  get range() {
    const known = this.#values.filter((value) => value !== null);
    return known.length ? [Math.min(...known), Math.max(...known)] : null;
  }

  #draw() {
    const top = this.range ? this.range[1] * 1.15 || 1 : 1;
    const first = LENGTH - this.#values.length;
    const points = this.#values
      .map((value, at) => [first + at, value])
      .filter(([, value]) => value !== null)
      .map(([x, value]) => [x, (HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(1)]);
    const text = points.map((point) => point.join()).join(" ");
    this.#line.setAttribute("points", text);
    const ends = points.length ? [`${points[0][0]},${HEIGHT}`, `${points.at(-1)[0]},${HEIGHT}`] : [];
    this.#area.setAttribute("points", points.length ? [ends[0], text, ends[1]].join(" ") : "");
  }
}

function shape(name, kind) {
  const made = document.createElementNS(NAMESPACE, name);
  made.setAttribute("class", kind);
  return made;
}
