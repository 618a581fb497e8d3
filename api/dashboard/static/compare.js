// Puts the person's own clip beside the video and plays both with one set of controls.
"use strict";
(() => {
  for (const board of document.querySelectorAll("[data-compare]")) {
    const main = board.querySelector("[data-main]");
    const figure = board.querySelector("[data-clip]");
    const controls = board.querySelector("[data-controls]");
    const clip = document.createElement("video");
    Object.assign(clip, { muted: true, loop: true, playsInline: true, preload: "metadata", src: figure.dataset.clip });
    clip.setAttribute("aria-label", "The person's own clip");
    const place = () => (clip.duration > 0 ? main.currentTime % clip.duration : 0);
    const button = (text, act) => {
      const made = document.createElement("button");
      Object.assign(made, { type: "button", textContent: text });
      made.addEventListener("click", act);
      controls.append(made);
      return made;
    };

    clip.addEventListener("loadedmetadata", () => {
      figure.hidden = false;
      controls.hidden = false;
    }, { once: true });
    clip.addEventListener("error", () => { figure.hidden = true; });  // a codec that this browser lacks
    figure.prepend(clip);

    const both = button("Play both", () => (main.paused ? main.play() : main.pause()));
    button("Back to the start", () => { main.currentTime = 0; });
    const slower = button("Half speed", () => {
      const slow = main.playbackRate === 1;
      main.playbackRate = clip.playbackRate = slow ? 0.5 : 1;
      slower.setAttribute("aria-pressed", String(slow));
    });
    slower.setAttribute("aria-pressed", "false");

    main.addEventListener("play", () => {
      clip.currentTime = place();
      clip.play().catch(() => {});
      both.textContent = "Pause both";
    });
    main.addEventListener("pause", () => {
      clip.pause();
      both.textContent = "Play both";
    });
    main.addEventListener("seeked", () => { clip.currentTime = place(); });
    main.addEventListener("timeupdate", () => {
      const off = Math.abs(clip.currentTime - place());
      if (!main.paused && off > 0.15 && off < clip.duration - 0.15) clip.currentTime = place();
    });
  }
})();
