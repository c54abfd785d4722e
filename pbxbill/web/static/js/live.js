// Pages with figures that run: asks the server each second and takes over what changed. Slower when it does
// not answer, not at all while nobody looks. What the server says is shown, nothing is reckoned here.
"use strict";
(() => {
  const EVERY_MS = 1000, LONGEST_MS = 30000, SAY_MS = 15000;
  const keyOf = (node) => node.dataset?.key || (node.nodeName === "TR" && node.querySelector("a[href]")?.getAttribute("href")) || "";
  const skipped = (node) => node.nodeName === "FORM" || node.nodeName === "DETAILS";

  // Only what differs is touched, so that focus and what is marked stay.
  const update = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE || skipped(old)) return;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    updateChildren(old, fresh);
  };

  const updateChildren = (old, fresh) => {
    // What is gone goes first: what stays is then not moved, which would take its focus away.
    const stays = new Set([...fresh.childNodes].map(keyOf));
    const known = new Map();
    for (const child of [...old.childNodes]) {
      const key = keyOf(child);
      if (key && stays.has(key)) known.set(key, child);
      else if (key) child.remove();
    }
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const key = keyOf(child);
      const same = key ? known.get(key) : at && !keyOf(at) ? at : null;
      if (!same) {
        old.insertBefore(child, at);
        continue;
      }
      while (key && at && at !== same && !keyOf(at)) {
        const blank = at;
        at = at.nextSibling;
        blank.remove();
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      update(same, child);
      known.delete(key);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  };

  const watch = (watched) => {
    const parts = watched.dataset.parts.split(";");
    const status = watched.querySelector("[data-live-status]");
    const lost = watched.querySelector("[data-live-lost]");
    let wait = EVERY_MS, timer = 0, over = false, saidAt = 0;

    const say = () => {
      const text = document.querySelector("[data-said]")?.dataset.said || "";
      if (text && text !== status.textContent && Date.now() - saidAt > SAY_MS) {
        status.textContent = text;
        saidAt = Date.now();
      }
    };
    const tell = (text) => {
      if (lost.textContent !== text) lost.textContent = text;
      lost.hidden = !text;
    };
    const take = (page) => {
      for (const part of parts) {
        const old = document.querySelector(part), fresh = page.querySelector(part);
        if (old && fresh) update(old, fresh);
        else if ((old || fresh) && !document.activeElement?.matches("input, select, textarea")) {
          over = true; // another page than this one: the first call, or none any more
          location.reload();
          return;
        }
      }
      say();
    };
    const ask = async () => {
      try {
        const answer = await fetch(watched.dataset.live, { redirect: "manual", signal: AbortSignal.timeout(10000) });
        if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
          over = true;
          tell(watched.dataset.over);
          return;
        }
        if (answer.status === 404) {
          over = true;
          location.reload();
          return;
        }
        if (!answer.ok) throw new Error(String(answer.status));
        take(new DOMParser().parseFromString(await answer.text(), "text/html"));
        wait = EVERY_MS;
        tell("");
      } catch {
        wait = Math.min(2 * wait, LONGEST_MS);
        tell(watched.dataset.lost);
      }
    };
    const next = () => {
      clearTimeout(timer);
      if (!over && !document.hidden) timer = setTimeout(async () => { await ask(); next(); }, wait);
    };
    addEventListener("visibilitychange", () => { wait = EVERY_MS; next(); });
    // The first figures come at once where the page holds none yet.
    if (watched.dataset.now !== undefined) ask().then(next);
    else next();
  };

  for (const watched of document.querySelectorAll("[data-live]")) watch(watched);
})();
