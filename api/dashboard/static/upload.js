// Sends a file in parts as soon as it is chosen or dropped: with progress, two parts at a time, with retries, and on
// from where it was after a reload. The form then names the upload by its id. Without this script the form itself
// brings the file along. A form may have several files.
"use strict";
(() => {
  const AT_ONCE = 2, TRIES = 6, MEMORY = "likeness-upload:";

  class Refused extends Error {
    constructor(problem, status) {
      super(problem.detail ? `${problem.detail}. ${problem.remedy || ""}` : `The service answered ${status}.`);
      this.status = status;
      this.details = problem.details || {};
    }
  }

  async function call(method, path, body) {
    const options = { method, headers: { Accept: "application/json" }, credentials: "same-origin" };
    if (body !== undefined) {
      options.body = JSON.stringify(body);
      options.headers["Content-Type"] = "application/json";
    }
    const answer = await fetch(path, options);
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refused(found, answer.status);
    return found;
  }

  function put(url, blob, moved, requests) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      requests.add(request);
      request.open("PUT", url);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => moved(event.loaded);
      request.onloadend = () => {
        requests.delete(request);
        if (request.status >= 200 && request.status < 300) return resolve();
        let problem = {};
        try { problem = JSON.parse(request.responseText); } catch { /* the object store does not speak JSON */ }
        reject(new Refused(problem, request.status));
      };
      request.send(blob);
    });
  }

  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    }
    addEventListener("online", done);
  });

  // A lost connection and a busy server pass; a refusal of what was asked does not.
  const passes = (error) => !(error instanceof Refused) || error.status === 0 || error.status === 408 || error.status === 429 || error.status >= 500;

  async function patiently(work) {
    for (let turn = 1; ; turn += 1) {
      try {
        return await work();
      } catch (error) {
        if (turn === TRIES || !passes(error)) throw error;
        await pause(Math.min(1000 * 2 ** (turn - 1), 15000));
      }
    }
  }

  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private windows */ } };
  const forget = (key) => { try { localStorage.removeItem(key); } catch { /* private windows */ } };
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  class Zone {
    constructor(element) {
      this.element = element;
      this.purpose = element.dataset.upload;
      this.field = element.dataset.field;
      this.input = element.querySelector("input[type=file]");
      this.form = element.closest("form");
      this.bar = element.querySelector("[data-bar]");
      this.state = element.querySelector("[data-state]");
      this.turn = 0;
      this.requests = new Set();
      this.ready = false;
      this.waits = null;
      this.input.addEventListener("change", () => this.chosen());
      for (const kind of ["dragenter", "dragover"]) element.addEventListener(kind, (event) => this.over(event, true));
      for (const kind of ["dragleave", "drop"]) element.addEventListener(kind, (event) => this.over(event, false));
      element.addEventListener("drop", (event) => {
        if (event.dataTransfer.files.length) this.give(event.dataTransfer.files[0]);
      });
      this.form.addEventListener("submit", (event) => this.submitted(event));
      this.form.addEventListener("formdata", (event) => {
        if (this.ready || !this.shown()) event.formData.delete(this.input.name);  // its bytes are there already
      });
      const hint = document.createElement("p");
      hint.className = "quiet dropping";
      hint.textContent = "or drop the file here";
      element.querySelector("label").after(hint);
      this.offerToGoOn();
    }

    over(event, inside) {
      event.preventDefault();
      this.element.classList.toggle("over", inside);
    }

    // A part of the form that is not shown is not asked for.
    shown() {
      return this.element.offsetParent !== null;
    }

    // Take a file that was dropped or recorded.
    give(file) {
      const list = new DataTransfer();
      list.items.add(file);
      this.input.files = list.files;
      this.input.dispatchEvent(new Event("change", { bubbles: true }));
    }

    say(text, kind = "") {
      this.state.textContent = text;
      this.state.className = `state ${kind}`;
    }

    show(share) {
      const percent = Math.floor(100 * share);
      this.bar.hidden = false;
      this.bar.querySelector("progress").value = percent;
      this.bar.querySelector(".numbers").textContent = `${percent} %`;
    }

    offerToGoOn() {
      for (let index = 0; index < (window.localStorage ? localStorage.length : 0); index += 1) {
        const key = localStorage.key(index);
        if (!key.startsWith(`${MEMORY}${this.purpose}:`)) continue;
        const name = key.slice(`${MEMORY}${this.purpose}:`.length).replace(/:\d+:\d+$/, "");
        this.say(`The upload of ${name} was interrupted. Choose the same file to go on where it was. `);
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "Forget it";
        button.addEventListener("click", () => {
          call("DELETE", `/v1/uploads/${encodeURIComponent(recall(key))}`).catch(() => {});
          forget(key);
          this.say("");
        });
        this.state.append(button);
        return;
      }
    }

    chosen() {
      const turn = this.turn += 1;  // an earlier choice is not gone on with
      for (const request of this.requests) request.abort();
      this.ready = false;
      const file = this.input.files[0];
      if (!file) return;
      this.form.querySelector(`input[type=hidden][name=${this.field}]`)?.remove();
      this.say(`Sending ${file.name}`);
      this.show(0);
      this.send(file, turn).then(
        (id) => { if (turn === this.turn) this.sent(file, id); },
        (error) => { if (turn === this.turn) this.failed(error); },
      );
    }

    async announced(file, key) {
      const known = recall(key);
      if (known) {
        try {
          return await patiently(() => call("GET", `/v1/uploads/${encodeURIComponent(known)}`));
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          forget(key);  // it was given up meanwhile
        }
      }
      const upload = await patiently(() => call("POST", "/v1/uploads", {
        purpose: this.purpose, filename: file.name, size: file.size, media_type: file.type || "application/octet-stream",
      }));
      remember(key, upload.id);
      return upload;
    }

    async send(file, turn) {
      if (file.size === 0) throw new Error("The file is empty. Choose another.");
      const key = `${MEMORY}${this.purpose}:${file.name}:${file.size}:${file.lastModified}`;
      let upload = await this.announced(file, key);
      for (let round = 1; upload.status !== "ready"; round += 1) {
        await this.sendParts(file, upload, turn);
        if (turn !== this.turn) return "";
        try {
          upload = await patiently(() => call("POST", `/v1/uploads/${upload.id}/complete`));
        } catch (error) {
          if (round === 3 || !error.details || !error.details.missing) throw error;
          upload = await patiently(() => call("GET", `/v1/uploads/${upload.id}`));
        }
      }
      forget(key);
      return upload.id;
    }

    async sendParts(file, upload, turn) {
      const moved = new Map();
      const left = [];
      for (const part of upload.parts) {
        moved.set(part.number, part.received ? part.size : 0);
        if (!part.received) left.push(part);
      }
      const tell = () => {
        let sum = 0;
        for (const bytes of moved.values()) sum += bytes;
        if (turn === this.turn) this.show(sum / file.size);
      };
      const one = async (part) => {
        const start = (part.number - 1) * upload.part_size;
        let url = part.url;
        await patiently(async () => {
          if (turn !== this.turn) return;
          try {
            await put(url, file.slice(start, start + part.size), (bytes) => {
              moved.set(part.number, Math.min(bytes, part.size));
              tell();
            }, this.requests);
          } catch (error) {
            if (turn !== this.turn) return;
            if (!(error instanceof Refused) || error.status !== 403) throw error;
            const fresh = await call("GET", `/v1/uploads/${upload.id}`);  // the address was too old
            url = fresh.parts.find((each) => each.number === part.number).url;
            await put(url, file.slice(start, start + part.size), () => {}, this.requests);
          }
        });
        moved.set(part.number, part.size);
        tell();
      };
      const worker = async () => {
        while (left.length && turn === this.turn) await one(left.shift());
      };
      tell();
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
    }

    sent(file, id) {
      this.ready = true;
      this.show(1);
      this.say(`${file.name} is there.`, "good");
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: this.field, value: id });
      this.form.append(field);
      if (!this.waits) return;
      const { submitter } = this.waits;
      this.waits = null;
      this.form.requestSubmit(submitter);
    }

    failed(error) {
      this.waits = null;
      this.bar.hidden = true;
      this.say(`${error.message || error} Choose the file again to try once more.`, "bad");
    }

    submitted(event) {
      if (this.ready || !this.input.files.length || !this.shown()) return;
      event.preventDefault();
      // Not sent yet when it failed, or when the browser put it back after somebody came back to the page.
      if (this.turn === 0 || this.state.classList.contains("bad")) this.chosen();
      if (!this.waits) this.say(`${this.state.textContent}; the form follows by itself.`);
      this.waits = { submitter: event.submitter };
    }
  }

  for (const element of document.querySelectorAll("[data-upload]")) element.zone = new Zone(element);
})();
