// Small comforts; every page works without them.
"use strict";
(() => {
  // Menus that hang down close when something else is clicked, or with Escape.
  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details.menu-down[open]")) {
      if (menu !== except) menu.open = false;
    }
  };
  addEventListener("click", (event) => closeMenus(event.target.closest("details.menu-down")));
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.menu-down[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    } else if (location.hash === "#menu") {
      location.hash = "#main";
    }
  });

  // "/" goes to the search field, as in many programs.
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const field = document.querySelector(".search input");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  });

  // A choice among filters or orders takes effect at once; a list of accounts is offered as one types.
  addEventListener("change", (event) => {
    if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  });
  let asked = 0;
  addEventListener("input", (event) => {
    const field = event.target;
    if (!field.matches("input[data-suggest]")) return;
    clearTimeout(asked);
    asked = setTimeout(async () => {
      if (!field.value.trim()) return;
      const address = new URL(field.dataset.suggest, location.href);
      address.searchParams.set("q", field.value);
      const answer = await fetch(address, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      const found = await answer.json();
      field.list.replaceChildren(...found.map(({ value, label }) => {
        const option = document.createElement("option");
        option.value = value;
        option.label = label;
        return option;
      }));
    }, 200);
  });

  // Headings stay in sight above a list that is no wider than the page; a wider one scrolls in its frame.
  // Of the columns that can be done without, as many go as it takes, the last one first.
  const fits = (frame) => {
    const table = frame?.firstElementChild;
    if (!table) return;
    const isIn = () => table.scrollWidth <= frame.clientWidth;
    const spare = [...table.querySelectorAll(":scope > thead th.wide")].map((heading) => heading.cellIndex + 1);
    for (const place of spare) table.classList.remove(`without-${place}`);
    while (spare.length && !isIn()) table.classList.add(`without-${spare.pop()}`);
    frame.classList.toggle("fits", isIn());
  };
  const sized = new ResizeObserver((changes) => changes.forEach((change) => fits(change.target.closest(".list-frame"))));
  for (const frame of document.querySelectorAll(".list-frame")) {
    sized.observe(frame);
    if (frame.firstElementChild) sized.observe(frame.firstElementChild);
  }

  // Rows of a form come and go at once; otherwise their buttons send the form, which comes back with them.
  const counted = (rows) => {
    [...rows.querySelector(":scope > .rows-body").children].forEach((row, index) => {
      for (const place of row.querySelectorAll(":scope > legend [data-place], :scope > button [data-place]")) {
        place.textContent = index + 1;
      }
    });
  };
  addEventListener("click", (event) => {
    const button = event.target.closest("button[name='rows']");
    if (!button) return;
    const rows = button.closest(".rows");
    const body = rows.querySelector(":scope > .rows-body");
    const adds = rows.querySelector(":scope > button");
    if (button !== adds) {
      const row = button.parentElement;
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      (next?.querySelector("input, select, textarea") ?? adds).focus();
    } else {
      if (body.children.length >= Number(rows.dataset.most)) return; // the server says so
      const blank = rows.querySelector(":scope > template");
      const made = document.createElement("template");
      made.innerHTML = blank.innerHTML.replaceAll(blank.dataset.number, rows.dataset.next++);
      body.append(made.content);
      body.lastElementChild.querySelector("input, select, textarea")?.focus();
    }
    event.preventDefault();
    counted(rows);
  });

  // A form is sent once, however often its button is clicked.
  addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.submitter?.formTarget) return; // what opens elsewhere leaves the form
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    addEventListener("pageshow", () => { delete form.dataset.sent; }, { once: true });
  });

  // What is marked may be copied with one click.
  addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.copied;
  });

  // Where parts of a page do not all fit, the one that is open is seen.
  for (const part of document.querySelectorAll(".tabs [aria-current]")) {
    part.closest(".tabs").scrollLeft = part.offsetLeft - 16;
  }

  // All lines of a list are chosen at once; without this each is by itself.
  for (const box of document.querySelectorAll("input[data-all]")) box.hidden = false;
  addEventListener("change", (event) => {
    if (!event.target.matches("input[data-all]")) return;
    for (const box of document.querySelectorAll(`input[name="${event.target.dataset.all}"]`)) {
      box.checked = event.target.checked;
    }
  });
})();
