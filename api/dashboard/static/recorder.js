// Records from the webcam or the microphone into the file field beside it.
"use strict";
(() => {
  const TYPES = {
    video: ["video/mp4;codecs=avc1.42E01E,mp4a.40.2", "video/webm;codecs=vp9,opus", "video/webm"],
    audio: ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg"],
  };
  const LONGEST_MS = 10 * 60 * 1000;

  function make(tag, properties = {}) {
    return Object.assign(document.createElement(tag), properties);
  }

  class Recorder {
    constructor(element) {
      this.kind = element.dataset.recorder;
      this.zone = element.closest("[data-upload]");
      const what = this.kind === "video" ? "with the webcam" : "with the microphone";
      this.start = make("button", { type: "button", textContent: `Record ${what}` });
      this.stop = make("button", { type: "button", textContent: "Stop", className: "primary", hidden: true });
      this.state = make("p", { className: "state" });
      this.state.setAttribute("role", "status");
      this.view = make(this.kind, { hidden: true });
      this.view.setAttribute("aria-label", "Recording");
      if (this.kind === "video") this.view.playsInline = true;
      const row = make("div", { className: "row" });
      row.append(this.start, this.stop);
      element.append(row, this.view, this.state);
      element.hidden = false;
      this.start.addEventListener("click", () => this.begin());
      this.stop.addEventListener("click", () => this.recorder.stop());
    }

    async begin() {
      this.start.disabled = true;
      try {
        this.stream = await navigator.mediaDevices.getUserMedia({
          audio: true,
          video: this.kind === "video" && { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" },
        });
      } catch (error) {
        this.state.textContent = error.name === "NotAllowedError"
          ? "The browser was not allowed to record. Allow it in the address bar, or choose a file."
          : "No camera or microphone was found. Connect one, or choose a file.";
        this.start.disabled = false;
        return;
      }
      const type = TYPES[this.kind].find((each) => MediaRecorder.isTypeSupported(each));
      this.recorder = new MediaRecorder(this.stream, type ? { mimeType: type, videoBitsPerSecond: 8e6 } : {});
      const blocks = [];
      this.recorder.ondataavailable = (event) => { if (event.data.size) blocks.push(event.data); };
      this.recorder.onstop = () => this.done(blocks);
      if (this.kind === "video") {
        this.view.srcObject = this.stream;
        Object.assign(this.view, { muted: true, controls: false, hidden: false });
        this.view.play();
      }
      this.recorder.start(1000);
      this.began = performance.now();
      this.stop.hidden = false;
      this.stop.focus();
      this.tick = setInterval(() => this.count(), 250);
      this.count();
    }

    count() {
      const passed = performance.now() - this.began;
      const text = `Recording, ${Math.floor(passed / 1000)} s`;
      if (this.state.firstChild?.textContent !== text) {
        this.state.replaceChildren(text);
        this.state.setAttribute("aria-live", "off");  // not each second aloud
      }
      if (passed > LONGEST_MS) this.recorder.stop();
    }

    done(blocks) {
      clearInterval(this.tick);
      for (const track of this.stream.getTracks()) track.stop();
      const type = (this.recorder.mimeType || `${this.kind}/webm`).split(";")[0];
      const file = new File(blocks, `recording.${type.split("/")[1]}`, { type, lastModified: Date.now() });
      this.view.srcObject = null;
      if (this.view.src) URL.revokeObjectURL(this.view.src);
      this.view.src = URL.createObjectURL(file);
      Object.assign(this.view, { muted: false, controls: true, hidden: false });
      this.stop.hidden = true;
      this.start.disabled = false;
      this.start.textContent = "Record again";
      this.start.focus();
      this.state.setAttribute("aria-live", "polite");
      this.state.textContent = "Recorded. Play it to check; sending it is the form's button.";
      this.zone.zone.give(file);
    }
  }

  if (navigator.mediaDevices && window.MediaRecorder) {
    for (const element of document.querySelectorAll("[data-recorder]")) new Recorder(element);
  }
})();
