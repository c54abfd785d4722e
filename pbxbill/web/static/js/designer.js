// The template designer: the sample beside the form is drawn anew as something changes.
"use strict";
(() => {
  const WAIT_MS = 500;
  const form = document.querySelector("form.designer"), button = form?.querySelector("[data-preview]");
  if (!button) return;
  let timer = 0;
  const draw = () => {
    // A frame of its own for each drawing: going back leaves the page, not one drawing after the other.
    const frame = form.querySelector("iframe");
    frame.replaceWith(frame.cloneNode());
    form.requestSubmit(button);
  };
  form.addEventListener("input", (event) => {
    if (event.target.matches("[name=name]")) return;
    clearTimeout(timer);
    timer = setTimeout(draw, WAIT_MS);
  });
  draw();
})();
