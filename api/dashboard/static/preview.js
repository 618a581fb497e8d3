// Shows the preview of a motion in the page of its form. Without this script the button leads to the preview's own page.
"use strict";
(() => {
  const button = document.querySelector("[data-preview]");
  const place = document.querySelector("#preview");
  const text = document.querySelector("[data-preview-text]");
  if (!button || !window.htmx) return;
  const say = (words, kind = "") => {
    if (text.textContent !== words) text.textContent = words;
    text.className = `state ${kind}`;
  };
  const shown = () => place.querySelector("[data-motion]");
  const waits = () => ["queued", "running"].includes(shown()?.dataset.motion);
  let asking = false;

  button.form.addEventListener("submit", (event) => {
    if (event.submitter !== button) return;
    if (event.defaultPrevented) return say("");  // a file is still on its way, and the form follows by itself
    event.preventDefault();
    if (asking) return;
    asking = true;
    if (waits()) {  // nobody wants to see the one before any more
      fetch(`/v1/motions/${shown().dataset.job}/cancel`, { method: "POST", headers: { Accept: "application/json" } }).catch(() => {});
    }
    say("The preview is being made.");
    htmx.ajax("POST", button.formAction, { source: button.form, target: place, swap: "innerHTML" });
  });

  button.form.addEventListener("htmx:afterRequest", (event) => {
    asking = false;
    if (event.detail.successful) return;
    place.hidden = true;
    place.replaceChildren();
    let problem = {};
    try { problem = JSON.parse(event.detail.xhr.responseText); } catch { /* nothing came */ }
    say(problem.detail ? `${problem.detail}. ${problem.remedy}.` : "The service can't be reached. Try again.", "bad");
  });

  place.addEventListener("htmx:afterSettle", () => {
    place.hidden = false;
    const status = shown()?.dataset.motion;
    if (status === "succeeded") {
      say("The preview is ready, below.", "good");
      place.scrollIntoView({ block: "nearest" });
    } else if (status === "failed") say("The preview failed; below is why.", "bad");
    else if (status === "canceled") say("The preview was canceled.");
  });
})();
