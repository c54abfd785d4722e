// Work in the background: asks how far it is, and shows the page anew when it is over.
"use strict";
(() => {
  const EVERY_MS = 1000, LONGEST_MS = 20000;
  for (const shown of document.querySelectorAll("[data-progress]")) {
    const bar = shown.querySelector("progress"), text = shown.querySelector("[data-progress-text]");
    let wait = EVERY_MS;
    const ask = async () => {
      try {
        const answer = await fetch(shown.dataset.progress, { redirect: "manual", signal: AbortSignal.timeout(10000) });
        if (!answer.ok) throw new Error(String(answer.status));
        const now = await answer.json();
        if (now.over) {
          location.reload();
          return;
        }
        bar.max = now.total || 1;
        bar.value = now.done;
        if (text.textContent !== now.text) text.textContent = now.text;
        wait = EVERY_MS;
      } catch {
        wait = Math.min(2 * wait, LONGEST_MS);
      }
      setTimeout(ask, wait);
    };
    setTimeout(ask, wait);
  }
})();
