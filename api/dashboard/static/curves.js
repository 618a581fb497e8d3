// Draws what a job's progress events measure: a small plot for each metric, with a summary in words.
"use strict";
const Curves = (() => {
  const SVG = "http://www.w3.org/2000/svg", WIDTH = 300, HEIGHT = 110, MOST = 400;

  const number = (value) => Number(value.toPrecision(3)).toString();

  function draw(tag, attributes, parent) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
  }

  class Board {
    constructor(section) {
      this.section = section;
      this.plots = section.querySelector("[data-plots]");
      this.series = new Map();
      this.drawn = 0;
    }

    // Each stage's metrics are series of their own; `data` is a progress event's.
    add(data) {
      for (const [name, value] of Object.entries(data.metrics || {})) {
        if (!Number.isFinite(value)) continue;
        const label = `${data.stage ? `${data.stage}: ` : ""}${name.replaceAll("_", " ")}`;
        if (!this.series.has(label)) this.series.set(label, []);
        const points = this.series.get(label);
        const last = points[points.length - 1];
        if (last && last.at === data.done) last.value = value;
        else points.push({ at: data.done, value });
      }
      this.later();
    }

    later() {
      if (this.drawn) return;
      this.drawn = requestAnimationFrame(() => { this.drawn = 0; this.paint(); });
    }

    paint() {
      const shown = [...this.series].filter(([, points]) => points.length > 1);
      this.section.hidden = shown.length === 0;
      this.plots.replaceChildren(...shown.map(([label, points]) => this.plot(label, points)));
    }

    plot(label, points) {
      const step = Math.ceil(points.length / MOST);
      const kept = points.filter((_, index) => index % step === 0 || index === points.length - 1);
      const values = kept.map((point) => point.value);
      const low = Math.min(...values), high = Math.max(...values);
      const left = Math.min(...kept.map((point) => point.at)), right = Math.max(...kept.map((point) => point.at));
      const x = (at) => 4 + (WIDTH - 8) * (right > left ? (at - left) / (right - left) : 0.5);
      const y = (value) => 6 + (HEIGHT - 12) * (high > low ? (high - value) / (high - low) : 0.5);
      const first = values[0], last = values[values.length - 1];
      const words = `${label}: from ${number(first)} to ${number(last)}, lowest ${number(low)}, highest ${number(high)}`;
      const figure = document.createElement("figure");
      figure.className = "plot";
      const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words }, figure);
      draw("line", { x1: 4, x2: WIDTH - 4, y1: HEIGHT - 4, y2: HEIGHT - 4, class: "axis" }, svg);
      draw("polyline", { points: kept.map((point) => `${x(point.at).toFixed(1)},${y(point.value).toFixed(1)}`).join(" ") }, svg);
      draw("circle", { cx: x(kept[kept.length - 1].at), cy: y(last), r: 3 }, svg);
      const caption = document.createElement("figcaption");
      const name = document.createElement("strong");
      name.textContent = label;
      const range = document.createElement("span");
      range.className = "quiet";
      range.textContent = ` ${number(last)} (lowest ${number(low)}, highest ${number(high)})`;
      caption.append(name, range);
      figure.append(caption);
      return figure;
    }
  }

  const section = document.querySelector("[data-curves]");
  const board = section ? new Board(section) : null;

  // Of a job that has ended the events are all there; live.js hands on those of one that runs.
  async function readAll() {
    for (let after = 0; ;) {
      const answer = await fetch(`${section.dataset.curves}?after=${after}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      const { data } = await answer.json();
      if (!data.length) return;
      for (const event of data) if (event.type === "progress") board.add(event.data);
      after = data[data.length - 1].id;
    }
  }
  if (board && !document.querySelector("[data-live]")) readAll();
  return { add: (data) => board?.add(data) };
})();
