// Says how long the video of a chosen recording will take.
"use strict";
(() => {
  const form = document.querySelector("[data-estimate]");
  const text = form?.querySelector("[data-estimate-text]");
  const input = form?.querySelector("input[type=file]");
  if (!input) return;
  const words = (value) => (value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`);

  function length(file) {
    return new Promise((resolve) => {
      const player = document.createElement("video");
      const address = URL.createObjectURL(file);
      const done = (value) => {
        URL.revokeObjectURL(address);
        resolve(value);
      };
      player.onloadedmetadata = () => {
        if (Number.isFinite(player.duration)) return done(player.duration);
        player.ondurationchange = () => Number.isFinite(player.duration) && done(player.duration);
        player.currentTime = 1e9;  // what was recorded a moment ago has no length in its header
      };
      player.onerror = () => done(null);
      player.preload = "metadata";
      player.src = address;
    });
  }

  async function estimate(kind, seconds) {
    const answer = await fetch("/v1/estimates", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ kind, seconds: Math.min(seconds, 86400) }),
    });
    return answer.ok ? answer.json() : null;
  }

  input.addEventListener("change", async () => {
    text.textContent = "";
    const file = input.files[0];
    const seconds = file ? await length(file) : null;
    if (!seconds || file !== input.files[0]) return;
    const [found, preview] = await Promise.all([estimate("video", seconds), estimate("motion", seconds)]);
    if (!found || file !== input.files[0]) return;
    const ahead = found.queue_ahead ? `, with ${found.queue_ahead} before it` : "";
    const sooner = preview ? `; a preview of the motion in about ${words(preview.eta_seconds)}` : "";
    text.textContent = `${words(seconds)} of sound: ready in about ${words(found.eta_seconds)}${ahead}${sooner}`
      + (found.basis === "default" ? " (a guess until this service has made some)." : ".");
  });
})();
