// Keeps a job's page up to date from its events.
"use strict";
(() => {
  const card = () => document.querySelector("[data-live]");
  const announce = document.querySelector("[data-announce]");
  const OLD_PREVIEWS_MS = 30000;
  let stage = "", refreshed = Date.now();

  function seconds(value) {
    const whole = Math.round(value);
    if (whole < 60) return `${whole} s`;
    return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  }

  function refresh() {
    refreshed = Date.now();
    if (card()) htmx.trigger(card(), "changed");
  }

  function show(progress) {
    const element = card();
    const bar = element?.querySelector("[data-percent]");
    if (!bar) return;
    bar.value = progress.percent;
    element.querySelector("[data-percent-text]").textContent = `${Math.round(progress.percent)} %`;
    const parts = [stage];
    if (progress.eta_seconds !== null) parts.push(`about ${seconds(progress.eta_seconds)} left`);
    if (progress.message) parts.push(progress.message);
    element.querySelector("[data-progress-text]").textContent = parts.filter(Boolean).join(", ");
    const metrics = element.querySelector("[data-metrics]");
    if (metrics) {
      metrics.replaceChildren(...Object.entries(progress.metrics || {}).map(([name, value]) => {
        const pair = document.createElement("div");
        pair.append(document.createElement("dt"), document.createElement("dd"));
        pair.firstChild.textContent = name.replaceAll("_", " ");
        pair.lastChild.textContent = Number(value.toPrecision(4));
        return pair;
      }));
    }
  }

  const started = card();
  if (!started) return;
  const source = new EventSource(started.dataset.live);
  // Those that stay have a number and are an event with data; those in between are the bare progress.
  const payload = (event) => {
    const data = JSON.parse(event.data);
    return data.object === "event" ? { kept: true, ...data.data } : data;
  };
  source.addEventListener("stage", (event) => {
    const data = payload(event);
    stage = data.stage || stage;
    if (announce && data.status) announce.textContent = `${stage}: ${data.status}`;
    refresh();
  });
  source.addEventListener("status", (event) => {
    stage = payload(event).stage || stage;
    refresh();
  });
  source.addEventListener("progress", (event) => {
    const data = payload(event);
    stage = data.stage || stage;
    if (data.kept) Curves.add(data);
    else {
      show(data);
      Curves.add({ stage, ...data });
    }
    if (Date.now() - refreshed > OLD_PREVIEWS_MS) refresh();  // new pictures
  });
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  });
})();
