// Shows moments in the reader's own time; without this script they are in UTC, and say so.
"use strict";
(() => {
  const words = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  function localise(root) {
    for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
      time.title = time.textContent;
      time.textContent = words.format(new Date(time.dateTime));
    }
    for (const option of root.querySelectorAll("option[data-moment]")) {
      option.textContent = option.textContent.replace(/\d{4}-\d{2}-\d{2} \d{2}:\d{2} UTC/, words.format(new Date(option.dataset.moment)));
      delete option.dataset.moment;
    }
  }
  document.addEventListener("DOMContentLoaded", () => localise(document));
  document.addEventListener("htmx:load", (event) => localise(event.detail.elt));
})();
